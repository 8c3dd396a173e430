"""Every way the gateway refuses or fails. The class docstring is the default message; renderers are in `rendering`.

GatewayError
├── RequestError (400)            the call is at fault
│   ├── InvalidHostError · InvalidBodyError · InvalidCursorError · SpentTokenError
│   ├── MissingFileError · EmptyFileError · UnreadableMediaError
│   ├── ConflictError (409)
│   │   └── EmailTakenError · UsernameTakenError · LastAdminError · NoPasswordError · IdempotencyInProgressError
│   ├── IdempotencyMismatchError (422)
│   ├── NotFoundError (404) · MethodNotAllowedError (405)
│   ├── MediaTooLargeError (413) · UnsupportedMediaError (415)
│   └── ClientGoneError (499)     nobody reads this one; it is for the log
├── AuthenticationError (401)     who calls is not known
│   ├── MissingKeyError · InvalidKeyError · InvalidTokenError · WrongPasswordError
│   └── InvalidPasskeyError · SignInRefusedError
├── ForbiddenError (403)          who calls is known, and may not do this
│   ├── AccountSuspendedError · EmailUnverifiedError · StaleSignInError · MissingScopeError
│   └── AddressNotAllowedError · ModelNotAllowedError
├── LimitError (429)              the account or the key has used what it may
│   ├── QuotaExceededError · BytesExceededError · BurstExceededError · ConcurrencyExceededError
│   └── TooManyAttemptsError      of signing in
└── FailureError (500)            we are at fault; what was charged is refunded
    ├── UnavailableError (503)
    │   └── InferenceUnavailableError · DatabaseUnavailableError · IssuerUnavailableError · OverloadedError
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


class InvalidHostError(RequestError):
    """The header Host names none of the hosts that are served here."""

    code = "invalid_host"


class InvalidBodyError(RequestError):
    """The request body is not valid."""

    code = "invalid_body"


class InvalidCursorError(RequestError):
    """The cursor is not one that this API handed out."""

    code = "invalid_cursor"


class SpentTokenError(RequestError):
    """This token is not valid: it was used before, has expired, or was never given out."""

    code = "invalid_one_time_token"


class MissingFileError(RequestError):
    """The multipart field `file` is missing."""

    code = "missing_file"


class EmptyFileError(RequestError):
    """The file is empty."""

    code = "empty_file"


class UnreadableMediaError(RequestError):
    """The file cannot be judged."""

    code = "unreadable_media"


class ConflictError(RequestError):
    """This cannot be done as things stand."""

    status = 409
    code = "conflict"


class LastAdminError(ConflictError):
    """This is the last active super_admin; make another one first."""

    code = "last_admin"


class NoPasswordError(ConflictError):
    """This account has no password; one is set with a token that is mailed on request."""

    code = "no_password"


class EmailTakenError(ConflictError):
    """An account with this e-mail exists already."""

    code = "email_taken"


class UsernameTakenError(ConflictError):
    """An account with this username exists already."""

    code = "username_taken"


class IdempotencyInProgressError(ConflictError):
    """A request with this idempotency key is still in progress."""

    code = "idempotency_in_progress"


class IdempotencyMismatchError(RequestError):
    """This idempotency key was used for another request."""

    status = 422
    code = "idempotency_mismatch"


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
    """An API key or an access token is needed, as `x-api-key` or as `Authorization: Bearer`."""

    code = "missing_api_key"


class InvalidKeyError(AuthenticationError):
    """The API key is not valid."""

    code = "invalid_api_key"


class InvalidTokenError(AuthenticationError):
    """The access token is not valid."""

    code = "invalid_token"


class WrongPasswordError(AuthenticationError):
    """The e-mail or the password is wrong."""

    code = "invalid_credentials"


class InvalidPasskeyError(AuthenticationError):
    """The passkey is not accepted."""

    code = "invalid_passkey"


class SignInRefusedError(AuthenticationError):
    """The provider did not confirm this sign-in."""

    code = "sign_in_refused"


class ForbiddenError(GatewayError):
    """This is not allowed to you."""

    status = 403
    code = "forbidden"
    kind = "permission_error"


class AccountSuspendedError(ForbiddenError):
    """This account is suspended."""

    code = "account_suspended"


class EmailUnverifiedError(ForbiddenError):
    """The e-mail address of this account has to be verified first."""

    code = "email_unverified"


class StaleSignInError(ForbiddenError):
    """For this the password is needed, or a session that has just begun."""

    code = "fresh_sign_in_needed"


class MissingScopeError(ForbiddenError):
    """This key lacks the scope for that."""

    code = "missing_scope"


class AddressNotAllowedError(ForbiddenError):
    """This key may not be used from this address."""

    code = "address_not_allowed"


class ModelNotAllowedError(ForbiddenError):
    """This key may not be used with this model."""

    code = "model_not_allowed"


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


class OverloadedError(UnavailableError):
    """Too many requests are waiting; try again shortly."""

    code = "overloaded"


class DeadlineExceededError(FailureError):
    """Judging the file took longer than is allowed. Nothing was charged."""

    status = 504
    code = "deadline_exceeded"
