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
