"""Takes an upload in: parses the multipart body as it arrives, so that a file is seen once and never held twice."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, cast

from litestar.types import Receive
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header

from bentos.contract import Modality
from gateway.detections.media import Media, MediaStore, MediaWriter
from gateway.detections.sniffing import SNIFFED_BYTES, Sniffed, settle_modality, sniff
from gateway.errors import (
    ClientGoneError,
    EmptyFileError,
    InvalidBodyError,
    MediaTooLargeError,
    MissingFileError,
    OverloadedError,
    RequestError,
)
from gateway.settings import MEDIA_MODALITIES, MIB, GatewaySettings

_PARTS: Final = 16
_FIELD_BYTES: Final = 1024
_FORM_OVERHEAD: Final = 64 * 1024
_FILENAME_LENGTH: Final = 255
_DRAIN_BYTES: Final = 32 * MIB
_DRAIN_S: Final = 5.0
_MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A medium that came in, and what was asked of it. Whoever holds it must release the medium."""

    media: Media
    modality: Modality
    media_type: str
    filename: str
    model: str | None


class RequestBody:
    """The body of a request, read chunk by chunk from the server."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.complete = False

    async def next(self) -> bytes:
        """The next chunk, perhaps empty.

        Raises:
            ClientGoneError: The client hung up before the end.
        """
        message = cast("dict[str, Any]", await self._receive())
        if message["type"] == "http.disconnect":
            self.complete = True
            raise ClientGoneError
        self.complete = not message.get("more_body", False)
        return message.get("body", b"")

    async def drain(self) -> None:
        """Read on and throw away, within bounds: many clients read a refusal only once they have sent everything."""
        drained = 0
        try:
            async with asyncio.timeout(_DRAIN_S):
                while not self.complete and drained < _DRAIN_BYTES:
                    drained += len(await self.next())
        except (TimeoutError, ClientGoneError):
            return


@dataclass(slots=True)
class _Form:
    """What has been read of the form so far."""

    writer: MediaWriter
    modality: Modality | None
    fixed_modality: bool
    model: str | None = None
    filename: str | None = None
    head: bytes = b""
    sniffed: Sniffed | None = None


class Intake:
    """Reads uploads under the limits of the settings."""

    def __init__(self, settings: GatewaySettings, store: MediaStore) -> None:
        self._settings = settings
        self._store = store

    async def read(
        self,
        body: RequestBody,
        *,
        content_type: str,
        content_length: int | None,
        modality: Modality | None,
        authorise: Callable[[], Awaitable[object]],
    ) -> Upload:
        """Read a form with a `file` and perhaps a `model` and, unless `modality` is given, a `modality`.

        `authorise` is awaited before anything is written to disk, so that only known callers can fill it.

        Raises:
            RequestError: The body is no such form, or the file is empty, too large or of another kind.
            OverloadedError: Sending took too long.
        """
        kind, options = parse_options_header(content_type)
        boundary = options.get("boundary")
        if kind != "multipart/form-data" or not boundary:
            raise InvalidBodyError("Send the file as multipart/form-data, in a field named `file`.")
        if content_length is not None and content_length > self._limit(modality) + _FORM_OVERHEAD:
            raise self._too_large(modality)
        form = _Form(writer=self._store.writer(), modality=modality, fixed_modality=modality is not None)
        try:
            async with asyncio.timeout(self._settings.upload_timeout_s):
                await self._parse(form, body, boundary, authorise)
                return await self._conclude(form)
        except BaseException as error:
            await form.writer.discard()
            if isinstance(error, TimeoutError):
                raise OverloadedError("The file did not arrive in time.", code="upload_timeout", status=408) from error
            if isinstance(error, ParserLimitReached):
                raise InvalidBodyError("The form has too many parts or too long headers.") from error
            if isinstance(error, (MultipartError, UnicodeDecodeError)):
                raise InvalidBodyError("The multipart body is malformed or incomplete.") from error
            raise

    async def _parse(
        self, form: _Form, body: RequestBody, boundary: str, authorise: Callable[[], Awaitable[object]]
    ) -> None:
        with PushMultipartParser(boundary, max_segment_count=_PARTS) as parser:
            part: MultipartSegment | None = None
            field = bytearray()
            while not body.complete:
                chunk = await body.next()
                if not chunk:
                    continue
                for event in parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        part, field = event, bytearray()
                        if part.name == "file":
                            _start_file(form, part)
                    elif part is None:
                        continue
                    elif event is None:
                        if part.name != "file":
                            _set_field(form, part.name or "", field.decode())
                        part = None
                    elif part.name == "file":
                        await self._take(form, event, authorise)
                    else:
                        field += event
                        if len(field) > _FIELD_BYTES:
                            raise InvalidBodyError(f"The field `{part.name}` is too long.")

    async def _take(self, form: _Form, chunk: bytes, authorise: Callable[[], Awaitable[object]]) -> None:
        if form.sniffed is None:
            form.head += chunk[: SNIFFED_BYTES - len(form.head)]
            if len(form.head) >= SNIFFED_BYTES:
                form.sniffed = sniff(form.head)
        modality = form.modality or (form.sniffed.modality if form.sniffed else None)
        if form.writer.size + len(chunk) > self._limit(modality):
            raise self._too_large(modality)
        if not form.writer.keep(chunk):
            if not form.writer.spooled:
                await authorise()
            await form.writer.spool(chunk)

    async def _conclude(self, form: _Form) -> Upload:
        if form.filename is None:
            raise MissingFileError
        if form.writer.size == 0:
            raise EmptyFileError
        sniffed = form.sniffed or sniff(form.head)
        modality = settle_modality(sniffed, form.modality)
        if form.writer.size > self._limit(modality):
            raise self._too_large(modality)
        return Upload(
            media=await form.writer.finish(),
            modality=modality,
            media_type=sniffed.media_type,
            filename=form.filename,
            model=form.model,
        )

    def _limit(self, modality: Modality | None) -> int:
        if modality is not None:
            return self._settings.media_limit(modality)
        return max(self._settings.media_limit(one) for one in MEDIA_MODALITIES)

    def _too_large(self, modality: Modality | None) -> MediaTooLargeError:
        noun = modality.value if modality else "file"
        return MediaTooLargeError(f"The {noun} is larger than {self._limit(modality) / MIB:g} MB.")


def _start_file(form: _Form, part: MultipartSegment) -> None:
    if form.filename is not None:
        raise InvalidBodyError("Send one file per request.")
    form.filename = _clean_filename(part.filename or "")


def _set_field(form: _Form, name: str, value: str) -> None:
    if name == "model" and value:
        if not _MODEL_NAME.fullmatch(value):
            raise RequestError("The name of the model is not valid.", code="invalid_model")
        form.model = value
    elif name == "modality" and value and not form.fixed_modality:
        if value not in MEDIA_MODALITIES:
            raise RequestError("The modality must be image, video or audio.", code="invalid_modality")
        form.modality = Modality(value)


def _clean_filename(filename: str) -> str:
    """The last part of a name, without control characters, never empty."""
    name = PurePosixPath(filename.replace("\\", "/")).name
    return "".join(char for char in name if char.isprintable())[:_FILENAME_LENGTH] or "upload"
