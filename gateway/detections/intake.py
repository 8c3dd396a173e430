"""Takes an upload in: parses the multipart body as it arrives, so that a file is seen once and never held twice."""

# pyright: reportAttributeAccessIssue=false
# Where a package of the same name is installed, `multipart` loses its types; at run time it finds the right one.

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from bentos.contract import Modality
from gateway.detections.forms import ANY_MODEL, Form, ModelChoice, RequestBody
from gateway.detections.media import Media, MediaStore
from gateway.detections.sniffing import SNIFFED_BYTES, TEXT_TYPE, settle_modality
from gateway.detections.texts import FILENAME as TEXT_NAME
from gateway.detections.texts import JSON_TYPE, check_charset, is_text_body, read_new_text
from gateway.errors import (
    EmptyFileError,
    InvalidBodyError,
    MediaTooLargeError,
    MissingFileError,
    OverloadedError,
)
from gateway.settings import MEDIA_MODALITIES, MIB, GatewaySettings

_PARTS: Final = 16
_FORM_OVERHEAD: Final = 64 * 1024
_ESCAPED: Final = 3
"""How many times as long as itself a text may be in JSON, where characters may be written by their numbers."""

Authorise = Callable[[int, int], Awaitable[object]]
LetIn = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A medium that came in, and what was asked of it. Whoever holds it must release the medium.

    `keep`: whether it stays in the object store once it is judged; None: as its account wants it.
    """

    media: Media
    modality: Modality
    media_type: str
    filename: str
    model: str | None
    client_reference: str | None = None
    tags: tuple[str, ...] = ()
    reuse: bool = False
    keep: bool | None = None


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
        authorise: Authorise,
        file_field: str = "file",
        models: ModelChoice = ANY_MODEL,
    ) -> Upload:
        """Read a form with a file, in the field `file_field`, and perhaps what `Form` knows beside it.

        Where the modality is open the body may also be a text, as it is or within JSON.

        `models` says what the name of a model in the form means.

        `authorise` is awaited before anything is written to disk, so that only callers who may can fill it. It is told
        how many bytes the file has at least, and what judging it counts against the daily limit at least.

        Raises:
            RequestError: The body is no such form, or the file is empty, too large or of another kind.
            OverloadedError: Sending took too long.
        """
        kind, options = parse_options_header(content_type)
        boundary = options.get("boundary")
        if modality is None and is_text_body(kind):
            modality = Modality.TEXT
            check_charset(options.get("charset"))
        elif kind != "multipart/form-data" or not boundary:
            raise InvalidBodyError(f"Send the file as multipart/form-data, in a field named `{file_field}`.")
        escaped = _ESCAPED if kind == JSON_TYPE else 1
        if content_length is not None and content_length > escaped * self._limit(modality) + _FORM_OVERHEAD:
            raise self._too_large(modality)
        form = Form(
            writer=self._store.writer(),
            file_field=file_field,
            modality=modality,
            fixed_modality=modality is not None,
            models=models,
            model=models.default,
        )
        try:
            async with asyncio.timeout(self._settings.upload_timeout_s):
                let_in = partial(self._let_in, authorise, form, content_length or 0)
                take = {JSON_TYPE: self._take_json, TEXT_TYPE: self._take_text}.get(kind, self._parse)
                await take(form, body, let_in, boundary or "")
                return await self._conclude(form)
        except BaseException as error:
            await form.writer.discard()
            if isinstance(error, TimeoutError):
                raise OverloadedError("The file did not arrive in time.", code="upload_timeout", status=408) from error
            if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise OverloadedError("There is no room for the file right now.", retry_after_s=60) from error
            if isinstance(error, ParserLimitReached):
                raise InvalidBodyError("The form has too many parts or too long headers.") from error
            if isinstance(error, (MultipartError, UnicodeDecodeError)):
                raise InvalidBodyError("The multipart body is malformed or incomplete.") from error
            raise

    async def _let_in(self, authorise: Authorise, form: Form, announced: int, arrived: int) -> None:
        # A file for which a verdict is repeated may cost less, but whether there is one tells only its digest.
        charge = self._settings.reuse_charge if form.reuse else 1
        await authorise(max(announced - _FORM_OVERHEAD, arrived), charge)

    async def _parse(self, form: Form, body: RequestBody, let_in: LetIn, boundary: str) -> None:
        with PushMultipartParser(boundary, max_segment_count=_PARTS) as parser:
            while not body.complete:
                chunk = await body.next()
                if not chunk:
                    continue
                for event in parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        form.begin(event.name, event.filename, event.content_type or "")
                    elif event is None:
                        form.end()
                    elif form.in_file:
                        await self._take(form, event, let_in)
                    else:
                        form.add(event)

    async def _take_text(self, form: Form, body: RequestBody, let_in: LetIn, _: str) -> None:
        form.name(TEXT_NAME)
        while not body.complete:
            chunk = await body.next()
            if chunk:
                await self._take(form, chunk, let_in)

    async def _take_json(self, form: Form, body: RequestBody, let_in: LetIn, _: str) -> None:
        form.name(TEXT_NAME)
        document = self._store.writer()
        try:
            while not body.complete:
                chunk = await body.next()
                if document.size + len(chunk) > _ESCAPED * self._limit(Modality.TEXT) + _FORM_OVERHEAD:
                    raise self._too_large(Modality.TEXT)
                if not document.keep(chunk):
                    raise OverloadedError("There is no room for the text right now.")
            text = read_new_text(document.held, form)
        finally:
            await document.discard()
        if text:
            await self._take(form, text, let_in)

    async def _take(self, form: Form, chunk: bytes, let_in: LetIn) -> None:
        if form.sniffed is None:
            form.head += chunk[: SNIFFED_BYTES - len(form.head)]
            if len(form.head) >= SNIFFED_BYTES:
                form.sniffed = form.sniff()
        modality = form.modality or (form.sniffed.modality if form.sniffed else None)
        if form.writer.size + len(chunk) > self._limit(modality):
            raise self._too_large(modality)
        if not form.writer.keep(chunk):
            if not form.writer.spooled:
                await let_in(form.writer.size + len(chunk))
            await form.writer.spool(chunk)

    async def accept(self, data: bytes, *, modality: Modality, filename: str, model: str | None) -> Upload:
        """Take a medium that is in memory already: a frame of a camera, of which an account keeps none.

        Raises:
            RequestError: It is empty, too large or of another kind.
        """
        if len(data) > self._limit(modality):
            raise self._too_large(modality)
        form = Form(
            writer=self._store.writer(),
            file_field="",
            modality=modality,
            fixed_modality=True,
            model=model,
            filename=filename,
            keep=False,
            head=data[:SNIFFED_BYTES],
        )
        if data and not form.writer.keep(data):
            await form.writer.spool(data)
        try:
            return await self._conclude(form)
        except BaseException:
            await form.writer.discard()
            raise

    async def _conclude(self, form: Form) -> Upload:
        if form.filename is None:
            raise MissingFileError(f"The multipart field `{form.file_field}` is missing.")
        if form.writer.size == 0:
            raise EmptyFileError
        sniffed = form.sniff()
        modality = settle_modality(sniffed, form.modality)
        if form.writer.size > self._limit(modality):
            raise self._too_large(modality)
        return Upload(
            media=await form.writer.finish(),
            modality=modality,
            media_type=TEXT_TYPE if modality is Modality.TEXT else sniffed.media_type,
            filename=form.filename,
            model=form.model,
            client_reference=form.client_reference,
            tags=tuple(form.tags),
            reuse=form.reuse,
            keep=form.keep,
        )

    def _limit(self, modality: Modality | None) -> int:
        if modality is not None:
            return self._settings.media_limit(modality)
        return max(self._settings.media_limit(one) for one in MEDIA_MODALITIES)

    def _too_large(self, modality: Modality | None) -> MediaTooLargeError:
        noun = modality.value if modality else "file"
        return MediaTooLargeError(f"The {noun} is larger than {self._limit(modality) / MIB:g} MB.")
