"""What a Bento answers, taken apart: verdicts, thumbnails, lines of progress, and refusals as errors of ours."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp
import msgspec
import structlog

from bentos.contract import THUMBNAIL_BYTES, Detection, ErrorBody, FailureLine, Line, VerdictLine
from gateway.errors import (
    DeadlineExceededError,
    FailureError,
    GatewayError,
    InferenceUnavailableError,
    MediaTooLargeError,
    RequestError,
    UnreadableMediaError,
    UnsupportedMediaError,
)
from gateway.settings import MIB

RETRY_AFTER_S: Final = 2
_LONGEST_LINE: Final = 16 * MIB
_REFUSALS: Final[dict[int, type[GatewayError]]] = {
    HTTPStatus.BAD_REQUEST: UnreadableMediaError,
    HTTPStatus.NOT_FOUND: RequestError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: MediaTooLargeError,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: UnsupportedMediaError,
    HTTPStatus.GATEWAY_TIMEOUT: DeadlineExceededError,
}
_OUR_FAULT: Final = frozenset({"bad_reference", "unauthorized", "invalid_request"})

_log = structlog.stdlib.get_logger(__name__)
_DETECTION = msgspec.json.Decoder(Detection)
_ERROR = msgspec.json.Decoder(ErrorBody)
_LINE: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


@dataclass(frozen=True, slots=True)
class BentoAnswer:
    """A verdict, the JSON it came as, and a small JPEG of a video where one was made."""

    detection: Detection
    document: bytes
    thumbnail: bytes | None = None


def read_answer(status: int, answer: bytes, *, thumbnail: str | None, retry_after: str | None) -> BentoAnswer:
    """Read an answer that came in one piece; `thumbnail` and `retry_after` are what its headers say.

    Raises:
        GatewayError: It is a refusal, or nothing that a Bento answers.
    """
    if status != HTTPStatus.OK:
        try:
            body = _ERROR.decode(answer)
        except msgspec.MsgspecError as error:
            raise _nonsense(status) from error
        raise _refusal(status, body, int(retry_after) if retry_after and retry_after.isdecimal() else None)
    try:
        document, picture = _split(answer, thumbnail)
        return BentoAnswer(_DETECTION.decode(document), document, picture)
    except (msgspec.MsgspecError, ValueError) as error:
        raise _nonsense(status) from error


async def read_lines(content: aiohttp.StreamReader) -> AsyncGenerator[Line]:
    """Take an answer in lines apart.

    Raises:
        GatewayError: It is nothing that a Bento answers.
        aiohttp.ClientError: The connection broke.
    """
    pending = bytearray()
    async for chunk in content.iter_any():
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            pending += line
            try:
                yield _LINE.decode(pending)
            except msgspec.MsgspecError as error:
                raise _nonsense(HTTPStatus.OK) from error
            pending = bytearray()
        pending += rest
        if len(pending) > _LONGEST_LINE:
            raise _nonsense(HTTPStatus.OK)


def read_last_line(line: VerdictLine | FailureLine) -> BentoAnswer:
    """Read the line that ends an answer. Raises the GatewayError that a failure stands for."""
    if isinstance(line, FailureLine):
        raise _refusal(line.status, line.error, line.retry_after_s)
    document = bytes(line.detection)
    try:
        return BentoAnswer(_DETECTION.decode(document), document, line.thumbnail)
    except msgspec.MsgspecError as error:
        raise _nonsense(HTTPStatus.OK) from error


def _split(answer: bytes, announced: str | None) -> tuple[bytes, bytes | None]:
    """The JSON of an answer, and the thumbnail that follows it where one is announced. Raises ValueError."""
    if announced is None:
        return answer, None
    size = int(announced)
    if not 0 < size <= min(THUMBNAIL_BYTES, len(answer)):
        raise ValueError("the thumbnail is not what was announced")
    return answer[:-size], answer[-size:]


def _refusal(status: int, body: ErrorBody, retry_after_s: int | None) -> GatewayError:
    """The error that a Bento's refusal becomes for our caller."""
    if body.code in _OUR_FAULT:
        _log.error("bento_refused_the_gateway", code=body.code, message=body.message, status=status)
        return FailureError(code="inference_failed")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return InferenceUnavailableError(body.message, code=body.code, retry_after_s=retry_after_s or RETRY_AFTER_S)
    kind = _REFUSALS.get(status)
    return kind(body.message, code=body.code) if kind else _nonsense(status)


def _nonsense(status: int) -> FailureError:
    _log.error("bento_broke_the_contract", status=status)
    return FailureError("The detector failed. Nothing was charged.", code="inference_failed", status=502)
