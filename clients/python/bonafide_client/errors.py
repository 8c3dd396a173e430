"""Everything that a call can raise of its own. The class docstring is the default message.

BonafideError
├── NoAnswerError                  nothing usable came back; what was asked for may still have happened
│   ├── UnreachableError           no connection came about, so nothing was sent
│   ├── ConnectionLostError        the connection broke before the answer was complete
│   └── CallTimeoutError           no answer in time (a TimeoutError, too)
├── MalformedAnswerError           an answer came that this API does not give
└── ApiError                       the API refused or failed, and said why
    ├── BadRequestError (400, 422) ── IdempotencyMismatchError
    ├── AuthenticationError (401)
    ├── PermissionDeniedError (403)
    ├── NotFoundError (404)
    ├── ConflictError (409)        ── InProgressError
    ├── TooLargeError (413) · UnsupportedMediaError (415)
    ├── LimitError (429)           ── QuotaExceededError (the limit of a day, not of a moment)
    │                              ── StorageFullError (507)
    └── ServerError (5xx)          ── UnavailableError (503) · DeadlineExceededError (504)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


class BonafideError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().partition("\n")[0])


class NoAnswerError(BonafideError):
    """No answer came back."""


class UnreachableError(NoAnswerError):
    """Nothing answers at this address."""


class ConnectionLostError(NoAnswerError):
    """The connection broke before the answer was complete."""


class CallTimeoutError(NoAnswerError, TimeoutError):
    """There was no answer in time."""


class MalformedAnswerError(BonafideError):
    """The answer is not one that this API gives."""

    def __init__(self, message: str | None = None, *, status: int | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id


@dataclass(frozen=True)
class InvalidField:
    """What is wrong with one field of a request; `field` is its place, such as "email"."""

    field: str
    message: str


class ApiError(BonafideError):
    """The API refused the request or failed.

    `status` is the HTTP status, `code` stable and meant for programs, `detail` a sentence for people, `errors` what is
    wrong with single fields, `request_id` what finds the call in the logs of the platform, and `retry_after` the
    seconds after which asking again makes sense, where the API said so. An answer that did not come from the API (a
    proxy's page) has the code `http_<status>`.
    """

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        request_id: str | None = None,
        retry_after: float | None = None,
        errors: tuple[InvalidField, ...] = (),
    ) -> None:
        fields = "".join(f"; {one.field}: {one.message}" for one in errors)
        super().__init__(f"{detail}{fields} ({status} {code}{f', request {request_id}' if request_id else ''})")
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.retry_after = retry_after
        self.errors = errors


class BadRequestError(ApiError):
    """The request or the file is at fault."""


class IdempotencyMismatchError(BadRequestError):
    """The idempotency key was used for another request."""


class AuthenticationError(ApiError):
    """The key, the token or the password is not valid."""


class PermissionDeniedError(ApiError):
    """The caller is known and may not do this."""


class NotFoundError(ApiError):
    """The account has nothing of that kind with that id."""


class ConflictError(ApiError):
    """This cannot be done as things stand."""


class InProgressError(ConflictError):
    """A request with this idempotency key is still in progress."""


class TooLargeError(ApiError):
    """The file is larger than is allowed."""


class UnsupportedMediaError(ApiError):
    """The file is of a kind that is not judged."""


class LimitError(ApiError):
    """A limit is used up for now."""


class QuotaExceededError(LimitError):
    """The limit of the day is used up."""


class StorageFullError(LimitError):
    """There is no room for this in the account's storage; the detail says what takes up most of it."""


class ServerError(ApiError):
    """The API failed; what was charged is refunded."""


class UnavailableError(ServerError):
    """The API cannot answer right now."""


class DeadlineExceededError(ServerError):
    """Judging took longer than the API allows."""


_SPECIAL: Final[Mapping[tuple[int, str], type[ApiError]]] = {
    (409, "idempotency_in_progress"): InProgressError,
    (422, "idempotency_mismatch"): IdempotencyMismatchError,
    (429, "quota_exceeded"): QuotaExceededError,
    (429, "bytes_exceeded"): QuotaExceededError,
    (507, "storage_full"): StorageFullError,
}
_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    415: UnsupportedMediaError,
    422: BadRequestError,
    429: LimitError,
    503: UnavailableError,
    504: DeadlineExceededError,
}
_FIRST_SERVER_STATUS: Final = 500


def error_class(status: int, code: str) -> type[ApiError]:
    """The class of a refusal: by its code where that says more than the status."""
    ordinary = _BY_STATUS.get(status, ServerError if status >= _FIRST_SERVER_STATUS else ApiError)
    return _SPECIAL.get((status, code), ordinary)
