"""Errors of how much the caller may do."""

from gateway.errors.root import GatewayError


class LimitError(GatewayError):
    """The account has used what it may for now."""

    status = 429
    code = "rate_limited"
    kind = "rate_limit_error"


class QuotaExceededError(LimitError):
    """The daily limit of this account is used up; it is reset at 00:00 UTC."""

    code = "quota_exceeded"


class BurstExceededError(LimitError):
    """Too many requests in a short time."""

    code = "burst_exceeded"


class BytesExceededError(LimitError):
    """The daily limit of bytes is used up; it is reset at 00:00 UTC."""

    code = "bytes_exceeded"


class ConcurrencyExceededError(LimitError):
    """Too many detections of this account are running."""

    code = "concurrency_exceeded"


class TooManyAttemptsError(LimitError):
    """Too many failed attempts to sign in; try again later."""

    code = "too_many_attempts"


class StorageFullError(LimitError):
    """There is no room for this in the storage of this account; delete what is not needed."""

    status = 507
    code = "storage_full"


class PassingFullError(LimitError):
    """This account has too much in the store that is not kept; finish or delete uploads, or wait for its jobs."""

    status = 507
    code = "passing_full"


class TooManyUploadsError(LimitError):
    """Too many uploads of this account are not complete; complete or delete some."""

    code = "too_many_uploads"
