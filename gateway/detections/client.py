"""Asks the Bentos: posts a medium, or a signed reference to it, and gets a verdict or a typed error."""

import asyncio
import io
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

import aiohttp
import msgspec
import structlog

from bentos.contract import (
    DETECT_PATH,
    FIGURES_PATH,
    HEADER_CALLER,
    HEADER_DEADLINE_MS,
    HEADER_MODEL,
    HEADER_PROGRESS,
    HEADER_REFERENCE,
    HEADER_REQUEST_ID,
    HEADER_THUMBNAIL,
    LINES,
    MODELS_PATH,
    READY_PATH,
    Modality,
    ModelDetails,
    ModelInfo,
    ModelList,
    Progress,
    ProgressLine,
    Reference,
    mint_reference,
)
from gateway.detections.answers import RETRY_AFTER_S, BentoAnswer, read_answer, read_last_line, read_lines
from gateway.detections.media import Media, SpooledMedia
from gateway.errors import DeadlineExceededError, InferenceUnavailableError
from gateway.settings import MEDIA_MODALITIES, MIB, GatewaySettings

__all__ = ["RETRY_AFTER_S", "BentoAnswer", "BentoClient", "OnProgress", "open_bento_client"]

OnProgress = Callable[[Progress], Awaitable[None]]
"""What is told each time a Bento says how far it is; it is waited for."""

_CONNECTIONS: Final = 512
_LARGE_BODY: Final = MIB
_PROBE_TIMEOUT: Final = aiohttp.ClientTimeout(total=2)
_CONNECT_TIMEOUT_S: Final = 2
_DEADLINE_MARGIN_S: Final = 0.5
"""A Bento gives up at the deadline by itself; this much later we stop waiting for it to say so."""
_SILENCE_S: Final = 30.0
"""A Bento that answers in lines sends one every few seconds; one that is silent for so long is gone."""
_BROKEN: Final = (aiohttp.ClientError, OSError)

_log = structlog.stdlib.get_logger(__name__)
_MODELS = msgspec.json.Decoder(ModelList)
_MODEL = msgspec.json.Decoder(ModelDetails)


class BentoClient:
    """One client per process; keeps its connections alive and never holds more than a bounded number."""

    def __init__(
        self, session: aiohttp.ClientSession, settings: GatewaySettings, *, silence_s: float = _SILENCE_S
    ) -> None:
        self._session = session
        self._at_once = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S)
        self._with_lines = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S, sock_read=silence_s)
        self._urls = {modality: settings.bento_url(modality) for modality in MEDIA_MODALITIES}
        self._deadlines = {
            (modality, long): settings.deadline(modality, long=long)
            for modality in MEDIA_MODALITIES
            for long in (False, True)
        }
        self._reference_key = settings.reference_key.get_secret_value()

    async def detect(
        self,
        modality: Modality,
        media: Media,
        *,
        model: str | None,
        request_id: str,
        caller: UUID | None = None,
        thumbnail: bool = False,
        long: bool = False,
        on_progress: OnProgress | None = None,
    ) -> BentoAnswer:
        """Have a medium judged, by `model` (None: the default), and where asked for have a thumbnail of a video made.

        The same `caller`, an account, stays on the same version of a model; without one each call is on its own.
        `long` gives a medium in the spool folder the limits of jobs, that of time only with `on_progress`. A
        connection that broke before an answer began is tried once more: a kept-alive one may just have been closed.

        Raises:
            RequestError: The medium or the model asked for is at fault.
            FailureError: The Bento does not answer, refuses for now, fell silent, or took too long.
        """
        deadline = time.monotonic() + self._deadlines[modality, long and on_progress is not None]
        headers = {HEADER_REQUEST_ID: request_id, "content-type": "application/octet-stream"}
        if caller is not None:
            headers[HEADER_CALLER] = str(caller)
        if model is not None:
            headers[HEADER_MODEL] = model
        if thumbnail:
            headers[HEADER_THUMBNAIL] = "1"
        if on_progress is not None:
            headers[HEADER_PROGRESS] = "1"

        async def ask() -> BentoAnswer:
            async with self._posted(modality, media, headers, deadline=deadline, long=long) as response:
                return await self._answer(modality, response, on_progress)

        try:
            try:
                return await ask()
            except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                return await ask()
        except TimeoutError as error:
            if isinstance(error, aiohttp.ServerTimeoutError):
                raise _unreachable(modality, error) from error
            raise DeadlineExceededError from error
        except _BROKEN as error:
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
        except (TimeoutError, *_BROKEN, msgspec.MsgspecError) as error:
            raise _unreachable(modality, error) from error

    async def model(self, modality: Modality, name: str) -> ModelDetails | None:
        """What the Bento of a modality tells of one model; None where it serves none of that name.

        Raises:
            InferenceUnavailableError: It does not answer as it should.
        """
        path = f"{MODELS_PATH}/{name}"
        if path == FIGURES_PATH:
            return None
        try:
            async with self._session.get(self._urls[modality] + path, timeout=_PROBE_TIMEOUT) as response:
                if response.status == HTTPStatus.NOT_FOUND:
                    return None
                response.raise_for_status()
                return _MODEL.decode(await response.read())
        except (TimeoutError, *_BROKEN, msgspec.MsgspecError) as error:
            raise _unreachable(modality, error) from error

    async def ready(self, modality: Modality) -> bool:
        """Whether the Bento of a modality says that it is ready."""
        try:
            async with self._session.get(self._urls[modality] + READY_PATH, timeout=_PROBE_TIMEOUT) as response:
                return response.status == HTTPStatus.OK
        except (TimeoutError, *_BROKEN):
            return False

    @asynccontextmanager
    async def _posted(
        self, modality: Modality, media: Media, options: dict[str, str], *, deadline: float, long: bool
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """The beginning of an answer. Raises `TimeoutError` when the block or the Bento is past the deadline."""
        left_s = deadline - time.monotonic()
        headers = {**options, HEADER_DEADLINE_MS: str(max(1, int(left_s * 1000)))}
        body: bytes | io.BytesIO | None = None
        if isinstance(media, SpooledMedia):
            lifetime = timedelta(seconds=left_s + _DEADLINE_MARGIN_S)
            reference = Reference(name=media.path.name, size=media.size, long=long)
            headers[HEADER_REFERENCE] = mint_reference(reference, key=self._reference_key, lifetime=lifetime)
        else:
            # A large body is sent piece by piece, so that other requests get their turn in between.
            body = media.data if media.size <= _LARGE_BODY else io.BytesIO(media.data)
        url = self._urls[modality] + DETECT_PATH
        timeout = self._with_lines if HEADER_PROGRESS in options else self._at_once
        async with (
            asyncio.timeout(left_s + _DEADLINE_MARGIN_S),
            self._session.post(url, data=body, headers=headers, timeout=timeout) as response,
        ):
            yield response

    async def _answer(
        self, modality: Modality, response: aiohttp.ClientResponse, on_progress: OnProgress | None
    ) -> BentoAnswer:
        if on_progress is None or response.content_type != LINES:
            return read_answer(
                response.status,
                await response.read(),
                thumbnail=response.headers.get(HEADER_THUMBNAIL),
                retry_after=response.headers.get("retry-after"),
            )
        try:
            return await self._follow(modality, response, on_progress)
        except _BROKEN as error:
            # What was told already would be told again: whoever asked has to decide about another try.
            raise _unreachable(modality, error) from error

    async def _follow(
        self, modality: Modality, response: aiohttp.ClientResponse, on_progress: OnProgress
    ) -> BentoAnswer:
        async with aclosing(read_lines(response.content)) as lines:
            async for line in lines:
                if not isinstance(line, ProgressLine):
                    return read_last_line(line)
                await on_progress(line.progress)
        raise _unreachable(modality, EOFError("the answer ended before its last line"))


@asynccontextmanager
async def open_bento_client(settings: GatewaySettings) -> AsyncGenerator[BentoClient]:
    """A client for the life of the process."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=30),
        headers={"authorization": f"Bearer {settings.bento_token.get_secret_value()}"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    async with session:
        yield BentoClient(session, settings)


def _unreachable(modality: Modality, error: Exception) -> InferenceUnavailableError:
    _log.warning("bento_unreachable", modality=modality.value, reason=repr(error))
    return InferenceUnavailableError(retry_after_s=RETRY_AFTER_S)
