"""Takes the bytes of uploads in, where the object store is a folder: streamed to the disk, whole or not at all."""

import asyncio
import errno
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.transactions import transaction
from gateway.detections.forms import RequestBody
from gateway.errors import (
    AlreadySentError,
    EmptyFileError,
    GatewayError,
    LengthRequiredError,
    MediaTooLargeError,
    NotFoundError,
    OverloadedError,
    SizeMismatchError,
    StorageUnavailableError,
)
from gateway.settings import MIB, GatewaySettings
from gateway.storage.local import LocalObjectStore, write_all
from gateway.storage.objects import ObjectStore
from gateway.storage.shelf import Shelf
from gateway.uploads.addresses import Place, Signer
from gateway.uploads.rows import MEDIA

_WRITE_AT_ONCE: Final = MIB
_STALL_S: Final = 60.0
_RETRY_S: Final = 60
_RESIZE: Final = text("UPDATE media SET size_bytes = :size WHERE id = :id")


class _Sending:
    """One body on its way, until another one for the same place comes."""

    def __init__(self) -> None:
        self._patience: asyncio.Timeout | None = None
        self._given_way = False

    async def next(self, body: RequestBody, *, until: float) -> bytes:
        """The next chunk. Raises TimeoutError, AlreadySentError where it is sent anew, and ClientGoneError."""
        chunk = b""
        try:
            async with asyncio.timeout_at(until) as self._patience:
                chunk = await body.next()
        except TimeoutError:
            if not self._given_way:
                raise
        finally:
            self._patience = None
        if self._given_way:
            raise AlreadySentError("The same is being sent anew.")
        return chunk

    def give_way(self) -> None:
        """Stop waiting for more."""
        self._given_way = True
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time())


class Receiving:
    """Receives what is sent to signed addresses of ours."""

    def __init__(
        self, engine: AsyncEngine, objects: ObjectStore, shelf: Shelf, signer: Signer, settings: GatewaySettings
    ) -> None:
        self._engine = engine
        self._objects = objects
        self._shelf = shelf
        self._signer = signer
        self._largest = settings.upload_max_bytes
        self._longest_s = settings.upload_open_s
        self._under_way: dict[str, _Sending] = {}

    async def receive(
        self, body: RequestBody, place: str, *, size: int, expires: int, signature: str, content_length: int | None
    ) -> int:
        """Take a file, or a part of one, that is sent to the address `place`, `size`, `expires`, `signature`.

        Returns how many bytes there were. What breaks off or is refused leaves nothing.

        Raises:
            NotFoundError: Nothing is sent here, or the upload was given up.
            BadSignatureError, SignatureExpiredError: The address is not good.
            AlreadySentError: These bytes are here.
            RequestError: There are more or fewer bytes than were announced.
            LimitError: There is no room for them.
        """
        try:
            if not isinstance(self._objects, LocalObjectStore):
                raise NotFoundError
            checked = self._signer.check(place, size=size, expires=expires, signature=signature)
            announced = self._announced(size, content_length)
            await self._let_in(checked, announced, settle=not size)
            if await self._objects.size(checked.object_path) is not None:
                raise AlreadySentError
        except GatewayError:
            await body.drain()
            raise
        with self._objects.writing_aside() as aside:
            try:
                written = await self._write(body, checked.object_path, aside, announced)
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise StorageUnavailableError("There is no room right now.", retry_after_s=_RETRY_S) from error
                raise
            await self._adopt(self._objects, checked, aside, written)
        return written

    def _announced(self, size: int, content_length: int | None) -> int:
        """How many bytes have to come. Raises RequestError where that is not told, or too many."""
        if content_length is None and not size:
            raise LengthRequiredError
        limit = size or self._largest
        if content_length is not None and content_length > limit:
            raise MediaTooLargeError(f"{limit} bytes may come here at most.")
        if content_length == 0:
            raise EmptyFileError
        if size and content_length not in {None, size}:
            raise SizeMismatchError(f"{size} bytes were announced, {content_length} are coming.")
        return size or content_length or 0

    async def _let_in(self, place: Place, size: int, *, settle: bool) -> None:
        """Refuse what has no open upload; `settle`: nothing was announced before, so its room is taken now."""
        async with transaction(self._engine) as connection:
            row = await _lock_open(connection, place)
            if settle:
                await self._resize(connection, row, size)

    async def _write(self, body: RequestBody, path: str, aside: Path, announced: int) -> int:
        """Write the body to a new file and have it on the disk; only about a megabyte of it is ever held."""
        clock = asyncio.get_running_loop().time
        written, pending = 0, bytearray()
        until = clock() + self._longest_s
        with await asyncio.to_thread(aside.open, "xb", buffering=0) as file, self._alone(path) as sending:
            try:
                while not body.complete:
                    chunk = await sending.next(body, until=min(clock() + _STALL_S, until))
                    written += len(chunk)
                    if written > announced:
                        raise MediaTooLargeError(f"{announced} bytes may come here at most.")
                    pending += chunk
                    if len(pending) >= _WRITE_AT_ONCE:
                        await _in_thread(partial(write_all, file, pending))
                        pending = bytearray()
            except TimeoutError as error:
                raise OverloadedError("The file did not arrive in time.", code="upload_timeout", status=408) from error
            except GatewayError:
                await body.drain()
                raise
            if written != announced:
                raise SizeMismatchError(f"{announced} bytes were announced, {written} came.")
            await _in_thread(partial(_finish, file, pending))
        return written

    @contextmanager
    def _alone(self, path: str) -> Generator["_Sending"]:
        """Whoever sends the same bytes again takes the place of the one before, who may be gone without our knowing.

        So nobody fills the disk with many beginnings of one file.
        """
        former = self._under_way.get(path)
        if former is not None:
            former.give_way()
        sending = self._under_way[path] = _Sending()
        try:
            yield sending
        finally:
            if self._under_way.get(path) is sending:
                del self._under_way[path]

    async def _resize(self, connection: AsyncConnection, row: Any, size: int) -> None:
        """Take room for what is coming in place of what was expected. Raises LimitError."""
        if row.size_bytes != size:
            more = max(size - row.size_bytes, 0)
            await self._shelf.make_room(connection, row.account_id, more, keep=row.kept)
            await connection.execute(_RESIZE, {"id": row.id, "size": size})

    async def _adopt(self, objects: LocalObjectStore, place: Place, aside: Path, size: int) -> None:
        """Make a file that is complete part of its upload, unless that was closed meanwhile or has it from another."""
        async with transaction(self._engine) as connection:
            row = await _lock_open(connection, place)
            if row.part_bytes is None:
                # Two who send different files to an address that knows no size: the one that is kept counts.
                await self._resize(connection, row, size)
            if not await asyncio.to_thread(objects.adopt, aside, place.object_path):
                raise AlreadySentError


async def _lock_open(connection: AsyncConnection, place: Place) -> Any:
    """The row of an upload that is open, for oneself until the transaction ends.

    Raises:
        NotFoundError: It was given up, or its time is over.
        AlreadySentError: It is complete.
    """
    query = select(MEDIA).where(MEDIA.c.id == place.upload_id, MEDIA.c.path == place.path).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    if row is None or row.state not in {"open", "ready"}:
        raise NotFoundError("This upload was given up.")
    if row.state == "ready":
        raise AlreadySentError
    return row


async def _in_thread(work: Callable[[], object]) -> None:
    """Do blocking work on an open file; who is cancelled waits for it, so that nothing writes to a closed one."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _finish(file: Any, rest: bytes | bytearray) -> None:
    """Write what is left and have all of it on the disk. Blocks."""
    write_all(file, rest)
    os.fsync(file.fileno())
