"""Every way the gateway refuses or fails. The class docstring is the default message; renderers are in `rendering`.

GatewayError
├── RequestError (400)            the call is at fault
│   ├── InvalidBodyError · InvalidCursorError · MissingFileError · EmptyFileError · UnreadableMediaError
│   ├── EmailTakenError (409) · NotFoundError (404) · MethodNotAllowedError (405)
│   ├── MediaTooLargeError (413) · UnsupportedMediaError (415)
│   └── ClientGoneError (499)     nobody reads this one; it is for the log
├── AuthenticationError (401)     who calls is not known
│   └── MissingKeyError · InvalidKeyError · WrongPasswordError
├── LimitError (429)              the account has used what it may
│   └── QuotaExceededError · BurstExceededError
└── FailureError (500)            we are at fault; what was charged is refunded
    ├── UnavailableError (503)
    │   └── InferenceUnavailableError · DatabaseUnavailableError · OverloadedError
    └── DeadlineExceededError (504)
"""

from typing import ClassVar


class GatewayError(Exception):
    """Something went wrong.

    `code` is stable and meant for programs, `kind` groups codes, `retry_after_s` is when trying again makes sense.
    """

    status: ClassVar[int] = 500
    code: str = "internal_error"
    kind: ClassVar[str] = "api_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        status: int | None = None,
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip().partition("\n")[0]
        self.code = code or type(self).code
        self.http_status = status or type(self).status
        self.retry_after_s = retry_after_s
        self.headers = headers or {}
        super().__init__(self.message)


class RequestError(GatewayError):
    """The request is not valid."""

    status = 400
    code = "invalid_request"
    kind = "invalid_request_error"


class InvalidBodyError(RequestError):
    """The request body is not valid."""

    code = "invalid_body"


class InvalidCursorError(RequestError):
    """The cursor is not one that this API handed out."""

    code = "invalid_cursor"


class MissingFileError(RequestError):
    """The multipart field `file` is missing."""

    code = "missing_file"


class EmptyFileError(RequestError):
    """The file is empty."""

    code = "empty_file"


class UnreadableMediaError(RequestError):
    """The file cannot be judged."""

    code = "unreadable_media"


class EmailTakenError(RequestError):
    """An account with this e-mail exists already."""

    status = 409
    code = "email_taken"


class NotFoundError(RequestError):
    """There is nothing at this address."""

    status = 404
    code = "not_found"


class MethodNotAllowedError(RequestError):
    """This address does not answer that method."""

    status = 405
    code = "method_not_allowed"


class MediaTooLargeError(RequestError):
    """The file is larger than is allowed."""

    status = 413
    code = "media_too_large"


class UnsupportedMediaError(RequestError):
    """The file is not of a type that is judged here."""

    status = 415
    code = "unsupported_media_type"


class ClientGoneError(RequestError):
    """The client went away before the request was complete."""

    status = 499
    code = "client_gone"


class AuthenticationError(GatewayError):
    """The caller is not known."""

    status = 401
    code = "unauthenticated"
    kind = "authentication_error"


class MissingKeyError(AuthenticationError):
    """An API key is needed, as `x-api-key` or as `Authorization: Bearer`."""

    code = "missing_api_key"


class InvalidKeyError(AuthenticationError):
    """The API key is not valid."""

    code = "invalid_api_key"


class WrongPasswordError(AuthenticationError):
    """The e-mail or the password is wrong."""

    code = "invalid_credentials"


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


class OverloadedError(UnavailableError):
    """Too many requests are waiting; try again shortly."""

    code = "overloaded"


class DeadlineExceededError(FailureError):
    """Judging the file took longer than is allowed. Nothing was charged."""

    status = 504
    code = "deadline_exceeded"
