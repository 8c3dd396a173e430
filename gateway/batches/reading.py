"""Reads what a batch is asked for with: a JSON document, JSON lines, or a zip archive as it is."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from litestar import Request
from multipart import parse_options_header  # pyright: ignore[reportAttributeAccessIssue] - See `detections.intake`.

from gateway.access.guard import Caller
from gateway.batches.archives import too_many_items
from gateway.batches.schemas import NewBatch, NewItem
from gateway.detections.forms import RequestBody
from gateway.detections.media import MediaStore, SpooledMedia
from gateway.errors import (
    EmptyFileError,
    GatewayError,
    InvalidBodyError,
    InvalidItemsError,
    MediaTooLargeError,
    OverloadedError,
    RequestError,
)
from gateway.idempotency.handlers import note_body
from gateway.limits.refusals import refuse_over_limit
from gateway.settings import MIB, GatewaySettings
from gateway.storage.shelf import ZIP_TYPE

JSON_TYPE: Final = "application/json"
LINES_TYPES: Final = frozenset(("application/x-ndjson", "application/jsonl", "application/ndjson"))
MOST_FAULTS: Final = 20
"""How many faulty items a refusal names."""

_NEW_BATCH = msgspec.json.Decoder(NewBatch)
_NEW_ITEM = msgspec.json.Decoder(NewItem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What was handed over: a batch with its items or the upload that is its archive, or (`archive`) a file to read."""

    batch: NewBatch
    archive: SpooledMedia | None = None


class BatchReading:
    """Reads the bodies of calls that make batches, within the bounds of the settings."""

    def __init__(self, store: MediaStore, settings: GatewaySettings) -> None:
        self._store = store
        self._most_items = settings.batch_max_items
        self._most_body = settings.batch_body_max_bytes
        self._most_archive = settings.batch_archive_max_bytes
        self._timeout_s = settings.upload_timeout_s

    async def read(self, request: Request[Caller, Any, Any]) -> AsyncGenerator[Handed]:
        """What a request hands over, once; what was put aside for it is gone when the caller is done with it.

        Raises:
            GatewayError: It is refused as it is.
        """
        kind = parse_options_header(request.headers.get("content-type", ""))[0]
        body = RequestBody(request.receive)
        archive: SpooledMedia | None = None
        try:
            try:
                async with asyncio.timeout(self._timeout_s):
                    if kind == ZIP_TYPE:
                        archive = await self._spool(request, body)
                        note_body(request, archive.digest)
                        handed = Handed(batch=NewBatch(), archive=archive)
                    else:
                        document = await self._collect(request, body)
                        note_body(request, hashlib.sha256(document).digest())
                        handed = Handed(batch=self._understand(kind, document))
            except TimeoutError as error:
                raise OverloadedError("The body did not arrive in time.", code="upload_timeout", status=408) from error
            except GatewayError:
                await body.drain()
                raise
            yield handed
        finally:
            if archive is not None:
                await self._store.release(archive)

    def _understand(self, kind: str, document: bytes) -> NewBatch:
        if kind in LINES_TYPES:
            return NewBatch(items=self._lines(document))
        if kind != JSON_TYPE:
            raise RequestError(
                "Send application/json, application/x-ndjson or application/zip.",
                code="unsupported_media_type",
                status=415,
            )
        try:
            batch = _NEW_BATCH.decode(document)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidBodyError(f"The body is not what a batch is made from: {error}.") from error
        if (batch.items is None) == (batch.archive is None):
            raise InvalidBodyError("Name either `items` or an `archive`.")
        if batch.items is not None:
            self._count(len(batch.items))
        return batch

    def _lines(self, document: bytes) -> tuple[NewItem, ...]:
        lines = [(number, line) for number, line in enumerate(document.split(b"\n"), 1) if line.strip()]
        self._count(len(lines))
        items: list[NewItem] = []
        faults: list[tuple[str, str]] = []
        for number, line in lines:
            try:
                items.append(_NEW_ITEM.decode(line))
            except (msgspec.DecodeError, RecursionError) as error:
                faults.append((f"line {number}", f"{error}"))
                if len(faults) >= MOST_FAULTS:
                    break
        if faults:
            raise InvalidItemsError(faults)
        return tuple(items)

    def _count(self, items: int) -> None:
        if items > self._most_items:
            raise too_many_items(self._most_items)
        if items == 0:
            raise InvalidBodyError("A batch has at least one item.", code="no_items")

    async def _collect(self, request: Request[Any, Any, Any], body: RequestBody) -> bytes:
        _refuse_over(request.content_length or 0, self._most_body)
        document = bytearray()
        while not body.complete:
            document += await body.next()
            _refuse_over(len(document), self._most_body)
        return bytes(document)

    async def _spool(self, request: Request[Caller, Any, Any], body: RequestBody) -> SpooledMedia:
        """Write an archive to the spool folder as it comes. At least one item of it will be charged."""
        announced = request.content_length or 0
        _refuse_over(announced, self._most_archive)
        refuse_over_limit(request.user.allowance, size=0, charge=1)
        writer = self._store.writer()
        try:
            while not body.complete:
                chunk = await body.next()
                if chunk:
                    _refuse_over(writer.size + len(chunk), self._most_archive)
                    await writer.spool(chunk)
            media = await writer.finish()
        except BaseException:
            await writer.discard()
            raise
        if not isinstance(media, SpooledMedia):
            raise EmptyFileError("The archive is empty.")
        return media


def _refuse_over(size: int, most: int) -> None:
    if size > most:
        raise MediaTooLargeError(f"The body of this call has at most {most / MIB:g} MB.", code="body_too_large")
