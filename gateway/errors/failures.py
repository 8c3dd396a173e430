"""Errors of ours: what was charged is refunded."""

from gateway.errors.root import GatewayError


class FailureError(GatewayError):
    """The request could not be completed; it was not charged."""


class UnavailableError(FailureError):
    """The service cannot answer right now; try again shortly."""

    status = 503
    code = "unavailable"


class InferenceUnavailableError(UnavailableError):
    """The detector does not answer right now; try again shortly. Nothing was charged."""

    code = "inference_unavailable"


class DatabaseUnavailableError(UnavailableError):
    """The database does not answer right now; try again shortly."""

    code = "database_unavailable"


class IssuerUnavailableError(UnavailableError):
    """The service that vouches for this user does not answer right now; try again shortly."""

    code = "issuer_unavailable"


class StorageUnavailableError(UnavailableError):
    """What media are kept in does not answer right now; try again shortly. Nothing was charged."""

    code = "storage_unavailable"


class UrlUnreachableError(UnavailableError):
    """The address could not be fetched right now."""

    code = "url_unreachable"


class OverloadedError(UnavailableError):
    """Too many requests are waiting; try again shortly."""

    code = "overloaded"


class DeadlineExceededError(FailureError):
    """Judging the file took longer than is allowed. Nothing was charged."""

    status = 504
    code = "deadline_exceeded"
