"""Every way a Bento can fail to give a verdict. The class docstring is the default message.

DetectionError
├── MediaError (400)         the medium itself is at fault
│   ├── EmptyMediaError · UnreadableMediaError · NoFramesError · NoSamplesError · MediaTooCostlyError
│   ├── UnsupportedMediaError (415)
│   └── MediaTooLargeError (413) · TooManyPixelsError (413) · MediaTooLongError (413)
├── RequestError (400)       the call is at fault
│   ├── InvalidOptionError · BadReferenceError
│   ├── UnauthorizedError (401)
│   └── UnknownModelError (404)
└── UnavailableError (503)   we are at fault; the same call may succeed later
    ├── InferenceUnavailableError · OverloadedError · BrokenModelError · KilledError
    └── DeadlineExceededError (504)
"""

from typing import ClassVar


class DetectionError(Exception):
    """The detection failed."""

    code: ClassVar[str] = "detection_failed"
    status: ClassVar[int] = 500

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    def __reduce__(self) -> tuple[type["DetectionError"], tuple[str]]:
        """Survive the way back from a decoding process."""
        return type(self), (str(self),)


class MediaError(DetectionError):
    """The medium cannot be judged."""

    code = "bad_media"
    status = 400


class EmptyMediaError(MediaError):
    """The file is empty."""

    code = "empty_file"


class UnreadableMediaError(MediaError):
    """The file is damaged or truncated and cannot be decoded."""

    code = "unreadable_media"


class NoFramesError(MediaError):
    """The video holds no frame that can be decoded."""

    code = "no_frames"


class NoSamplesError(MediaError):
    """The audio holds no samples."""

    code = "no_samples"


class MediaTooCostlyError(MediaError):
    """Decoding the file took more time or memory than is allowed."""

    code = "media_too_costly"


class UnsupportedMediaError(MediaError):
    """The file is not of a type that this service judges."""

    code = "unsupported_media_type"
    status = 415


class MediaTooLargeError(MediaError):
    """The file is larger than is allowed."""

    code = "media_too_large"
    status = 413


class TooManyPixelsError(MediaError):
    """The picture has more pixels than are allowed."""

    code = "too_many_pixels"
    status = 413


class MediaTooLongError(MediaError):
    """The clip lasts longer than is allowed."""

    code = "media_too_long"
    status = 413


class RequestError(DetectionError):
    """The request is not valid."""

    code = "invalid_request"
    status = 400


class InvalidOptionError(RequestError):
    """An option of the request is not valid."""

    code = "invalid_option"


class BadReferenceError(RequestError):
    """The media reference is not valid or has expired."""

    code = "bad_reference"


class UnauthorizedError(RequestError):
    """The bearer token is missing or wrong."""

    code = "unauthorized"
    status = 401


class UnknownModelError(RequestError):
    """No model of that name is served here."""

    code = "unknown_model"
    status = 404


class UnavailableError(DetectionError):
    """The service cannot answer right now; try again shortly."""

    code = "unavailable"
    status = 503
    retry_after_s: ClassVar[int] = 2


class InferenceUnavailableError(UnavailableError):
    """The inference server does not answer; try again shortly."""

    code = "inference_unavailable"


class KilledError(UnavailableError):
    """The decoding process was ended from outside; try again shortly."""


class OverloadedError(UnavailableError):
    """Too many requests are waiting; try again shortly."""

    code = "overloaded"


class BrokenModelError(UnavailableError):
    """The model's answer is not what its contract says; its maintainers must look at it."""

    code = "broken_model"


class DeadlineExceededError(UnavailableError):
    """The request took longer than its deadline."""

    code = "deadline_exceeded"
    status = 504
