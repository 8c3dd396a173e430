"""Errors of signed uploads."""

from gateway.errors.requests import ConflictError, RequestError


class BadSignatureError(RequestError):
    """This address was not signed here, or was changed, or is for another file."""

    status = 403
    code = "bad_signature"


class SignatureExpiredError(RequestError):
    """This address is not good any more; read the upload for a new one."""

    status = 403
    code = "signature_expired"


class AlreadySentError(ConflictError):
    """These bytes are here already, or their upload is closed."""

    code = "already_sent"


class IncompleteUploadError(ConflictError):
    """Not all of the file is here yet."""

    code = "upload_incomplete"


class SizeMismatchError(RequestError):
    """The file does not have the size that was announced."""

    code = "size_mismatch"


class DigestMismatchError(RequestError):
    """The file does not have the SHA-256 that was announced."""

    code = "digest_mismatch"


class LengthRequiredError(RequestError):
    """Say in Content-Length how many bytes are coming."""

    status = 411
    code = "length_required"


class UnknownFileError(RequestError):
    """The account has no upload at this path."""

    code = "unknown_file"
