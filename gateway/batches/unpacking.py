"""Unpacks the archive of a batch: each file becomes a medium and an item, or an item that says why it cannot be judged.

Nothing is charged before all is unpacked: an archive that turns out to lie has cost its owner nothing.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.batches.archives import Bounds, DamagedEntryError, Entry, list_entries, unpack
from gateway.batches.work import Work
from gateway.db.transactions import joinable_transaction, transaction
from gateway.detections.forms import REFERENCE_LENGTH, clean_filename
from gateway.detections.intake import Upload
from gateway.detections.media import MediaStore, MediaWriter, SpooledMedia
from gateway.detections.sniffing import SNIFFED_BYTES, settle_modality, sniff
from gateway.errors import (
    ArchiveError,
    EmptyFileError,
    FailureError,
    GatewayError,
    MediaTooLargeError,
    NotFoundError,
    RequestError,
)
from gateway.settings import MEDIA_MODALITIES, MIB, GatewaySettings
from gateway.storage.shelf import Shelf

_INSERT: Final = text("""
    INSERT INTO batch_items
        (batch_id, place, filename, medium_id, modality, client_reference, error_code, error_message)
    SELECT b.id, :place, :filename, :medium, :modality, :reference, :code, :message
    FROM batches b WHERE b.id = :id AND b.status = 'expanding' AND b.next_place = 0
    ON CONFLICT DO NOTHING RETURNING place
""")

_log = structlog.stdlib.get_logger(__name__)


class _OvertakenError(Exception):
    """Somebody else has made this item, or cancelled the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """An archive that is on this machine for as long as it is unpacked."""

    batch_id: UUID
    spooled: SpooledMedia
    entries: tuple[Entry, ...]


class Unpacking:
    """Unpacks archives; keeps the one that it works on at hand between two slices of work."""

    def __init__(self, engine: AsyncEngine, shelf: Shelf, store: MediaStore, settings: GatewaySettings) -> None:
        self._engine = engine
        self._shelf = shelf
        self._store = store
        self._settings = settings
        self._bounds = Bounds(most_items=settings.batch_max_items, most_bytes=settings.batch_unpacked_max_bytes)
        self._largest = max(settings.media_limit(one) for one in MEDIA_MODALITIES)
        self._opened: _Opened | None = None
        self._busy = asyncio.Lock()

    async def go_on(self, work: Work, until: float) -> None:
        """Unpack from the first file on that is no item yet, until this time of the monotonic clock has come.

        Raises:
            ArchiveError: The archive is not what it seemed to be.
            FailureError: The object store does not answer.
        """
        async with self._busy:
            opened = await self._open(work)
            for place in range(work.unpacked, len(opened.entries)):
                if not await self._unpack_one(work, opened, place):
                    _log.info("batch_overtaken", batch_id=str(work.id), place=place)
                    return
                if time.monotonic() >= until:
                    return
            await self._close()

    async def let_go(self, batch_id: UUID) -> None:
        """Let go of the archive of a batch that is not gone on with, if it is at hand."""
        async with self._busy:
            if self._opened is not None and self._opened.batch_id == batch_id:
                await self._close()

    async def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await self._store.release(opened.spooled)

    async def _open(self, work: Work) -> _Opened:
        if self._opened is not None and self._opened.batch_id == work.id and self._opened.spooled.path.exists():
            return self._opened
        await self._close()
        if work.archive_id is None:
            raise ArchiveError("The archive is not there any more.", code="archive_gone")
        try:
            medium = await self._shelf.ready(work.account_id, work.archive_id)
        except NotFoundError as error:
            raise ArchiveError("The archive is not there any more.", code="archive_gone") from error
        spooled = await self._shelf.to_spool(medium)

        def look() -> tuple[Entry, ...]:
            with spooled.path.open("rb") as file:
                return list_entries(file, self._bounds)

        try:
            entries = await asyncio.to_thread(look)
        except BaseException:
            await self._store.release(spooled)
            raise
        self._opened = _Opened(batch_id=work.id, spooled=spooled, entries=entries)
        return self._opened

    async def _unpack_one(self, work: Work, opened: _Opened, place: int) -> bool:
        """Make an item of a file of the archive; false where somebody else has it already, or cancelled the batch."""
        entry = opened.entries[place]
        values = {
            "id": work.id,
            "place": place,
            "filename": clean_filename(entry.name),
            "reference": _printable(entry.name),
        }
        try:
            upload = await self._receive(opened.spooled, entry)
        except RequestError as error:
            if isinstance(error, ArchiveError):
                raise
            return await self._note(values, error)
        try:
            async with joinable_transaction(self._engine) as connection:
                medium = await self._shelf.shelve(
                    upload, account_id=work.account_id, key_id=work.key_id, keep=work.options.get("store")
                )
                found = {"medium": medium.id, "modality": upload.modality, "code": None, "message": None}
                _check_taken((await connection.execute(_INSERT, {**values, **found})).one_or_none())
        except _OvertakenError:
            return False
        except GatewayError as error:
            if isinstance(error, FailureError):
                raise
            return await self._note(values, error)
        finally:
            await self._store.release(upload.media)
        return True

    async def _note(self, values: Mapping[str, object], error: GatewayError) -> bool:
        """Make an item that cannot be judged."""
        refused = {"medium": None, "modality": None, "code": error.code, "message": error.message}
        async with transaction(self._engine) as connection:
            return (await connection.execute(_INSERT, {**values, **refused})).one_or_none() is not None

    async def _receive(self, archive: SpooledMedia, entry: Entry) -> Upload:
        """A file of the archive, as if it had been sent by itself. Raises RequestError."""
        if entry.size == 0:
            raise EmptyFileError
        _refuse_over(entry.size, self._largest, "file")
        writer = self._store.writer()
        try:
            with archive.path.open("rb") as file:
                head = await self._write(writer, file, entry)
            sniffed = sniff(head, name=entry.name)
            modality = settle_modality(sniffed, None)
            _refuse_over(writer.size, self._settings.media_limit(modality), modality.value)
            return Upload(
                media=await writer.finish(),
                modality=modality,
                media_type=sniffed.media_type,
                filename=clean_filename(entry.name),
                model=None,
            )
        except DamagedEntryError as error:
            await writer.discard()
            raise RequestError("The archive has this file damaged.", code="damaged_item") from error
        except BaseException:
            await writer.discard()
            raise

    async def _write(self, writer: MediaWriter, file: BinaryIO, entry: Entry) -> bytes:
        """Write a file of the archive, piece by piece; returns its head. What cannot be judged is given up early."""
        pieces = unpack(file, entry)
        head = b""
        while (piece := await asyncio.to_thread(_next, pieces)) is not None:
            if len(head) < SNIFFED_BYTES:
                head += piece[: SNIFFED_BYTES - len(head)]
                if len(head) >= SNIFFED_BYTES:
                    settle_modality(sniff(head, name=entry.name), None)
            if piece and not writer.keep(piece):
                await writer.spool(piece)
        return head


def _check_taken(row: object) -> None:
    """Raises _OvertakenError where no row was written."""
    if row is None:
        raise _OvertakenError


def _refuse_over(size: int, most: int, noun: str) -> None:
    if size > most:
        raise MediaTooLargeError(f"The {noun} is larger than {most / MIB:g} MB.")


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


def _printable(name: str) -> str:
    """The path of a file within its archive, as a client reference may be; its end where it is too long."""
    return "".join(char for char in name if char.isprintable())[-REFERENCE_LENGTH:]
