"""Completes an upload: what was sent is brought to where no signed address leads, and only then looked at."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bentos.contract import LONG_MODALITIES, Modality
from gateway.db.transactions import transaction
from gateway.detections.sniffing import SNIFFED_BYTES, settle_modality, sniff
from gateway.errors import (
    DeadlineExceededError,
    DigestMismatchError,
    EmptyFileError,
    GatewayError,
    IncompleteUploadError,
    MediaTooLargeError,
    NotFoundError,
    OverloadedError,
    SizeMismatchError,
    UnsupportedMediaError,
)
from gateway.settings import MEDIA_MODALITIES, MIB, GatewaySettings
from gateway.storage.objects import MissingObjectError, ObjectStore, Stored
from gateway.storage.shelf import Shelf
from gateway.uploads.addresses import Place, incoming_of
from gateway.uploads.division import part_sizes
from gateway.uploads.rows import UploadRow, find

ARCHIVE_TYPE: Final = "application/zip"
_ARCHIVE_HEADS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_AT_ONCE: Final = 4
_WAIT_S: Final = 60.0
_LONGEST_S: Final = 3600.0
_RETRY_S: Final = 10
_READY: Final = text("""
    UPDATE media SET state = 'ready', object_path = :object_path, size_bytes = :size, digest = :digest,
        media_type = :media_type, modality = :modality, completed_at = now(),
        expires_at = CASE WHEN kept THEN kept_until(account_id) ELSE now() + make_interval(secs => :passing_s) END
    WHERE id = :id
    RETURNING *
""")

_log = structlog.stdlib.get_logger(__name__)


class Completion:
    """Completes uploads; a few at once in each process."""

    def __init__(self, engine: AsyncEngine, objects: ObjectStore, shelf: Shelf, settings: GatewaySettings) -> None:
        self._engine = engine
        self._objects = objects
        self._shelf = shelf
        self._settings = settings
        self._permits = asyncio.Semaphore(_AT_ONCE)
        self._under_way: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def complete(self, account_id: UUID, upload_id: UUID, digest: bytes | None = None) -> UploadRow:
        """Have a file that was sent verified: its size, its SHA-256 if it was announced or is given here, its kind.

        Done again, it answers the same. What is refused stays as it is: open, with what was sent.

        Raises:
            NotFoundError: The account has no such upload.
            IncompleteUploadError: Not all of it is here.
            RequestError: It is not what was announced, or of no kind that is judged, or too large.
            LimitError: It was not said how large it would be, and there is no room for it.
        """
        async with self._alone(upload_id):
            async with transaction(self._engine) as connection:
                row = await find(connection, account_id, upload_id)
            if row.state == "ready":
                return _answered(row, digest)
            try:
                async with asyncio.timeout(_LONGEST_S):
                    return await self._complete(row, digest)
            except TimeoutError as error:
                raise DeadlineExceededError("Checking the file took too long.") from error

    @asynccontextmanager
    async def _alone(self, upload_id: UUID) -> AsyncGenerator[None]:
        """One completion of an upload at a time: the second one finds it done. Raises OverloadedError."""
        lock = self._under_way.setdefault(upload_id, asyncio.Lock())
        try:
            await asyncio.wait_for(lock.acquire(), _WAIT_S)
        except TimeoutError as error:
            raise OverloadedError("This upload is being completed.", retry_after_s=_RETRY_S) from error
        try:
            try:
                await asyncio.wait_for(self._permits.acquire(), _WAIT_S)
            except TimeoutError as error:
                raise OverloadedError(retry_after_s=_RETRY_S) from error
            try:
                yield
            finally:
                self._permits.release()
        finally:
            lock.release()

    async def _complete(self, row: UploadRow, digest: bytes | None) -> UploadRow:
        paths = await self._paths(row)
        # Each attempt has a place of its own: what is looked at there is what is taken, whoever else completes it or
        # sends more to an address that is still good.
        target = f"media/{row.id}/{uuid4().hex}"
        try:
            try:
                done = await self._verify(row, paths, target, digest)
            except MissingObjectError as error:
                # Somebody else has completed or given it up in between.
                done = await self._found_ready(row)
                if done is None:
                    raise IncompleteUploadError from error
        except BaseException:
            await self._remove([target])
            raise
        left = [one.path async for one in self._objects.list(incoming_of(row.id))]
        left += [one.path async for one in self._objects.list(f"media/{row.id}") if one.path != done.object_path]
        await self._remove(left)
        return _answered(done, digest)

    async def _paths(self, row: UploadRow) -> list[str]:
        """The objects that the file is in, in their order; they have the sizes that were announced.

        Raises:
            IncompleteUploadError, SizeMismatchError, EmptyFileError, MediaTooLargeError: They do not.
        """
        there: dict[str, Stored] = {one.path: one async for one in self._objects.list(incoming_of(row.id))}
        paths: list[str] = []
        missing: list[int] = []
        for number, size in enumerate(part_sizes(row.size_bytes, row.part_bytes), 1):
            path = Place(row.id, number, row.path).object_path
            stored = there.get(path)
            if stored is None:
                missing.append(number)
                continue
            if stored.size == 0:
                raise EmptyFileError
            if size and stored.size != size:
                what = f"Part {number}" if row.part_bytes else "The file"
                raise SizeMismatchError(f"{what} has {stored.size} bytes, {size} were announced.")
            paths.append(path)
        if missing:
            what = f"parts {', '.join(map(str, missing[:20]))}" if row.part_bytes else "the file"
            raise IncompleteUploadError(f"What is missing: {what}{' and more' if len(missing) > 20 else ''}.")  # noqa: PLR2004 - As above.
        return paths

    async def _verify(self, row: UploadRow, paths: list[str], target: str, digest: bytes | None) -> UploadRow:
        if len(paths) == 1:
            await self._objects.copy(paths[0], target)
            found = await self._objects.digest(target)
        else:
            found = await self._objects.join(paths, target)
        size = await self._objects.size(target)
        if size is None:
            raise MissingObjectError(target)
        if row.size_bytes and size != row.size_bytes:
            raise SizeMismatchError(f"The file has {size} bytes, {row.size_bytes} were announced.")
        for expected in (row.digest, digest):
            if expected is not None and expected != found:
                raise DigestMismatchError(f"The SHA-256 of the file is {found.hex()}.")
        head = await self._objects.head(target, SNIFFED_BYTES)
        media_type, modality = kind_of(head, row.media_type, row.filename)
        self._refuse_too_large(size, modality)
        values = {
            "id": row.id,
            "object_path": target,
            "size": size,
            "digest": found,
            "media_type": media_type,
            "modality": modality,
            "passing_s": self._settings.passing_s,
        }
        return await self._write(row, values)

    async def _write(self, row: UploadRow, values: dict[str, Any]) -> UploadRow:
        async with transaction(self._engine) as connection:
            now = await find(connection, row.account_id, row.id, lock=True)
            if now.state == "ready":
                return now
            if values["size"] > now.size_bytes:
                await self._shelf.make_room(connection, row.account_id, values["size"] - now.size_bytes, keep=now.kept)
            return (await connection.execute(_READY, values)).one()

    async def _found_ready(self, row: UploadRow) -> UploadRow | None:
        async with transaction(self._engine) as connection:
            try:
                now = await find(connection, row.account_id, row.id)
            except NotFoundError:
                return None
        return now if now.state == "ready" else None

    def _refuse_too_large(self, size: int, modality: Modality | None) -> None:
        """Hold to the limit of uploads, and of what is decoded whole: pictures, texts. Raises MediaTooLargeError."""
        limit = self._settings.upload_max_bytes
        if modality is not None and modality not in LONG_MODALITIES:
            limit = min(limit, self._settings.media_limit(modality))
        if size > limit:
            raise MediaTooLargeError(f"The {modality or 'file'} is larger than {limit / MIB:g} MB.")

    async def _remove(self, paths: Sequence[str]) -> None:
        """Remove what nobody needs any more; what cannot be removed now goes with the medium."""
        try:
            for path in paths:
                await self._objects.remove(path)
        except GatewayError as error:
            _log.warning("object_not_removed", reason=error.message)


def kind_of(head: bytes, announced: str | None, name: str = "") -> tuple[str, Modality | None]:
    """Media type and modality of a file of that beginning and `name`, announced as of some type; none: an archive.

    Raises:
        UnsupportedMediaError: It is of no type that is taken, or plainly of another one than was announced.
    """
    group = (announced or "").partition("/")[0]
    asked = next((one for one in MEDIA_MODALITIES if one.value == group and group != "text"), None)
    if head.startswith(_ARCHIVE_HEADS):
        if asked is not None:
            raise UnsupportedMediaError(f"The file is an archive, which is not {announced}.")
        return ARCHIVE_TYPE, None
    sniffed = sniff(head, name=name, announced=announced or "")
    return sniffed.media_type, settle_modality(sniffed, asked)


def _answered(row: UploadRow, digest: bytes | None) -> UploadRow:
    """A complete upload, unless it is another file than the caller has in mind. Raises DigestMismatchError."""
    if digest is not None and digest != row.digest:
        raise DigestMismatchError(f"The SHA-256 of the file is {row.digest.hex()}.")
    return row
