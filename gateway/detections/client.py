"""Asks the Bentos: posts a medium, or a signed reference to it, and gets a verdict or a typed error."""

import asyncio
import io
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Final

import aiohttp
import msgspec
import structlog

from bentos.contract import (
    DETECT_PATH,
    HEADER_DEADLINE_MS,
    HEADER_MODEL,
    HEADER_REFERENCE,
    HEADER_REQUEST_ID,
    HEADER_THUMBNAIL,
    MODELS_PATH,
    READY_PATH,
    THUMBNAIL_BYTES,
    Detection,
    ErrorBody,
    Modality,
    ModelInfo,
    ModelList,
    Reference,
    mint_reference,
)
from gateway.detections.media import Media, SpooledMedia
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
from gateway.settings import MEDIA_MODALITIES, MIB, GatewaySettings

_CONNECTIONS: Final = 512
_LARGE_BODY: Final = MIB
_RETRY_AFTER_S: Final = 2
_PROBE_TIMEOUT: Final = aiohttp.ClientTimeout(total=2)
_CONNECT_TIMEOUT_S: Final = 2
_DEADLINE_MARGIN_S: Final = 0.5
"""A Bento gives up at the deadline by itself; this much later we stop waiting for it to say so."""
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
_MODELS = msgspec.json.Decoder(ModelList)


@dataclass(frozen=True, slots=True)
class BentoAnswer:
    """A verdict, the JSON it came as, and a small JPEG of a video where one was made."""

    detection: Detection
    document: bytes
    thumbnail: bytes | None = None


class BentoClient:
    """One client per process; keeps its connections alive and never holds more than a bounded number."""

    def __init__(self, session: aiohttp.ClientSession, settings: GatewaySettings) -> None:
        self._session = session
        self._urls = {modality: settings.bento_url(modality) for modality in MEDIA_MODALITIES}
        self._deadlines = {modality: settings.deadline(modality) for modality in MEDIA_MODALITIES}
        self._reference_key = settings.reference_key.get_secret_value()

    async def detect(
        self, modality: Modality, media: Media, *, model: str | None, request_id: str, thumbnail: bool = False
    ) -> BentoAnswer:
        """Have a medium judged, by `model` (None: the default), and where asked for have a thumbnail of a video made.

        A connection that broke before an answer came is tried once more: a kept-alive one may just have been closed.

        Raises:
            RequestError: The medium or the model asked for is at fault.
            FailureError: The Bento does not answer, refuses for now, or took too long.
        """
        deadline = time.monotonic() + self._deadlines[modality]
        headers = {HEADER_REQUEST_ID: request_id, "content-type": "application/octet-stream"}
        if model is not None:
            headers[HEADER_MODEL] = model
        if thumbnail:
            headers[HEADER_THUMBNAIL] = "1"
        try:
            return await self._post(modality, media, headers, deadline=deadline)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            try:
                return await self._post(modality, media, headers, deadline=deadline)
            except (aiohttp.ClientError, OSError) as error:
                raise _unreachable(modality, error) from error
        except TimeoutError as error:
            raise DeadlineExceededError from error
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(modality, error) from error

    async def models(self, modality: Modality) -> tuple[ModelInfo, ...]:
        """What the Bento of a modality serves.

        Raises:
            InferenceUnavailableError: It does not answer as it should.
        """
        url = self._urls[modality] + MODELS_PATH
        try:
            async with self._session.get(url, timeout=_PROBE_TIMEOUT) as response:
                response.raise_for_status()
                return _MODELS.decode(await response.read()).models
        except (TimeoutError, aiohttp.ClientError, OSError, msgspec.MsgspecError) as error:
            raise _unreachable(modality, error) from error

    async def ready(self, modality: Modality) -> bool:
        """Whether the Bento of a modality says that it is ready."""
        try:
            async with self._session.get(self._urls[modality] + READY_PATH, timeout=_PROBE_TIMEOUT) as response:
                return response.status == HTTPStatus.OK
        except (TimeoutError, aiohttp.ClientError, OSError):
            return False

    async def _post(self, modality: Modality, media: Media, options: dict[str, str], *, deadline: float) -> BentoAnswer:
        left_s = deadline - time.monotonic()
        headers = {**options, HEADER_DEADLINE_MS: str(max(1, int(left_s * 1000)))}
        body: bytes | io.BytesIO | None = None
        if isinstance(media, SpooledMedia):
            lifetime = timedelta(seconds=left_s + _DEADLINE_MARGIN_S)
            headers[HEADER_REFERENCE] = mint_reference(
                Reference(name=media.path.name, size=media.size), key=self._reference_key, lifetime=lifetime
            )
        else:
            # A large body is sent piece by piece, so that other requests get their turn in between.
            body = media.data if media.size <= _LARGE_BODY else io.BytesIO(media.data)
        async with asyncio.timeout(left_s + _DEADLINE_MARGIN_S):
            url = self._urls[modality] + DETECT_PATH
            async with self._session.post(url, data=body, headers=headers) as response:
                answer = await response.read()
        if response.status != HTTPStatus.OK:
            raise _refusal(response.status, response.headers.get("retry-after"), answer)
        try:
            document, thumbnail = _split(answer, response.headers.get(HEADER_THUMBNAIL))
            return BentoAnswer(_DETECTION.decode(document), document, thumbnail)
        except (msgspec.MsgspecError, ValueError) as error:
            raise _nonsense(response.status) from error


@asynccontextmanager
async def open_bento_client(settings: GatewaySettings) -> AsyncGenerator[BentoClient]:
    """A client for the life of the process."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
        headers={"authorization": f"Bearer {settings.bento_token.get_secret_value()}"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    async with session:
        yield BentoClient(session, settings)


def _split(answer: bytes, announced: str | None) -> tuple[bytes, bytes | None]:
    """The JSON of an answer, and the thumbnail that follows it where one is announced. Raises ValueError."""
    if announced is None:
        return answer, None
    size = int(announced)
    if not 0 < size <= min(THUMBNAIL_BYTES, len(answer)):
        raise ValueError("the thumbnail is not what was announced")
    return answer[:-size], answer[-size:]


def _refusal(status: int, retry_after: str | None, document: bytes) -> GatewayError:
    """The error that a Bento's refusal becomes for our caller."""
    try:
        body = _ERROR.decode(document)
    except msgspec.MsgspecError:
        return _nonsense(status)
    if body.code in _OUR_FAULT:
        _log.error("bento_refused_the_gateway", code=body.code, message=body.message, status=status)
        return FailureError(code="inference_failed")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        wait_s = int(retry_after) if retry_after and retry_after.isdecimal() else _RETRY_AFTER_S
        return InferenceUnavailableError(body.message, code=body.code, retry_after_s=wait_s)
    kind = _REFUSALS.get(status)
    return kind(body.message, code=body.code) if kind else _nonsense(status)


def _nonsense(status: int) -> FailureError:
    _log.error("bento_broke_the_contract", status=status)
    return FailureError("The detector failed. Nothing was charged.", code="inference_failed", status=502)


def _unreachable(modality: Modality, error: Exception) -> InferenceUnavailableError:
    _log.warning("bento_unreachable", modality=modality.value, reason=repr(error))
    return InferenceUnavailableError(retry_after_s=_RETRY_AFTER_S)
