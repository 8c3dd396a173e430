"""Errors of the call itself."""

from collections.abc import Sequence

from gateway.errors.root import GatewayError


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


class InvalidItemsError(RequestError):
    """Some items cannot be judged; nothing was done with the others."""

    code = "invalid_items"

    def __init__(self, faults: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__()
        self.faults = tuple(faults)
        """Which items, and what is wrong with each."""


class ArchiveError(RequestError):
    """This is no zip archive, or it is damaged."""

    code = "unreadable_archive"


class ZipBombError(ArchiveError):
    """The archive unpacks to far more than it is itself."""

    code = "zip_bomb"


class ClientGoneError(RequestError):
    """The client went away before the request was complete."""

    status = 499
    code = "client_gone"
