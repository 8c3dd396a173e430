"""Media that are whole and verified: put into the object store with their row, found again, and brought to a Bento."""

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bentos.contract import Modality
from gateway.db.tables import Medium
from gateway.db.tables.columns import table_of
from gateway.db.transactions import transaction
from gateway.detections.intake import Upload
from gateway.detections.media import SPOOL_SUFFIX, Media, MemoryMedia, SpooledMedia
from gateway.errors import MediumGoneError, NotFoundError, PassingFullError
from gateway.settings import GatewaySettings
from gateway.storage.buckets import MissingObjectError, ObjectStore
from gateway.storage.keeping import storage_full

ZIP_TYPE: Final = "application/zip"
_ARCHIVE_NAME: Final = "archive.zip"
_MEDIA: Final[Any] = table_of(Medium)
_FOUND: Final = select(_MEDIA).where(_MEDIA.c.state == "ready")
_BEGIN: Final = text("SELECT uuidv7(), coalesce(CAST(:keep AS boolean), keeps_media) FROM accounts WHERE id = :account")
_FITS: Final = text("SELECT fits_in_storage(:account, :size, :keep, :most_passing)")
_UNTIL: Final = "CASE WHEN :keep THEN kept_until(:account) ELSE now() + make_interval(secs => :passing_s) END"
_INSERT: Final = text(f"""
    INSERT INTO media (id, account_id, key_id, state, path, object_path, filename, media_type, modality, size_bytes,
        digest, kept, completed_at, expires_at)
    VALUES (:id, :account, :key, 'ready', :path, :path, :filename, :media_type, :modality, :size,
        :digest, :keep, now(), {_UNTIL})
""")  # noqa: S608 - All of it stands here.
_KEEP: Final = text(f"""
    UPDATE media SET kept = :keep, expires_at = {_UNTIL} WHERE id = :id AND account_id = :account AND state = 'ready'
""")  # noqa: S608 - The same.
_LOCK: Final = text("SELECT kept FROM media WHERE id = :id AND account_id = :account AND state = 'ready' FOR UPDATE")
_DISCARD: Final = text("SELECT discard_media(ARRAY[CAST(:id AS uuid)], NULL)")
_NO_PROOF: Final = text("UPDATE media SET reason = NULL WHERE id = :id AND state = 'deleting'")
_FORGET: Final = text("SELECT forget_media(ARRAY[CAST(:id AS uuid)])")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyMedium:
    """A medium in the object store. `digest` is its SHA-256, `size` its bytes; no modality: an archive."""

    id: UUID
    account_id: UUID
    filename: str
    media_type: str
    modality: Modality | None
    size: int
    digest: bytes
    object_path: str
    kept: bool


class Shelf:
    """Puts media into the store and finds them there."""

    def __init__(self, engine: AsyncEngine, objects: ObjectStore, settings: GatewaySettings) -> None:
        self._engine = engine
        self._objects = objects
        self._spool: Path = settings.spool
        self._passing_s = settings.passing_s
        self._most_passing = settings.passing_bytes

    async def shelve(
        self, upload: Upload, *, account_id: UUID, key_id: UUID | None, keep: bool | None = None
    ) -> ReadyMedium:
        """Put a medium that came in into the store; `keep`: it counts as kept, None for what its account wants.

        Raises:
            StorageFullError: It was to be kept, and is too large for what is left of the account's allowance.
            PassingFullError: The account has too much in the store that is not kept.
        """
        return await self._put(
            upload.media,
            upload.filename,
            upload.media_type,
            upload.modality,
            account_id=account_id,
            key_id=key_id,
            keep=keep,
        )

    async def shelve_archive(self, archive: SpooledMedia, *, account_id: UUID, key_id: UUID | None) -> ReadyMedium:
        """Put an archive into the store that came in as the body of a call, and is needed until it is unpacked.

        Raises:
            PassingFullError: The account has too much in the store that is not kept.
        """
        return await self._put(archive, _ARCHIVE_NAME, ZIP_TYPE, None, account_id=account_id, key_id=key_id, keep=False)

    async def _put(
        self,
        media: Media,
        filename: str,
        media_type: str,
        modality: Modality | None,
        *,
        account_id: UUID,
        key_id: UUID | None,
        keep: bool | None,
    ) -> ReadyMedium:
        async with transaction(self._engine) as connection:
            medium_id, kept = (await connection.execute(_BEGIN, {"keep": keep, "account": account_id})).one()
        path = f"media/{medium_id}"
        try:
            # The object first: a row that is ready has one, and what has no row after a crash is swept.
            if isinstance(media, MemoryMedia):
                await self._objects.put_bytes(path, media.data)
            else:
                await self._objects.put_file(path, media.path)
            async with transaction(self._engine) as connection:
                await self.make_room(connection, account_id, media.size, keep=kept)
                parameters = {
                    "id": medium_id,
                    "account": account_id,
                    "key": key_id,
                    "path": path,
                    "filename": filename,
                    "media_type": media_type,
                    "modality": modality,
                    "size": media.size,
                    "digest": media.digest,
                    "keep": kept,
                    "passing_s": self._passing_s,
                }
                await connection.execute(_INSERT, parameters)
        except BaseException:
            await self._objects.remove(path)
            raise
        return ReadyMedium(
            id=medium_id,
            account_id=account_id,
            filename=filename,
            media_type=media_type,
            modality=modality,
            size=media.size,
            digest=media.digest,
            object_path=path,
            kept=kept,
        )

    async def ready(self, account_id: UUID, medium_id: UUID) -> ReadyMedium:
        """A medium of an account that is there and verified. Raises NotFoundError."""
        query = _FOUND.where(_MEDIA.c.id == medium_id, _MEDIA.c.account_id == account_id)
        async with transaction(self._engine) as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("This account has no such upload, or it is not complete.")
        return as_ready(row)

    async def to_spool(self, medium: ReadyMedium) -> SpooledMedia:
        """The medium as a file in the spool folder, which whoever called releases. Raises MediumGoneError."""
        path = self._spool / f"{uuid4().hex}{SPOOL_SUFFIX}"
        try:
            size = await self._objects.fetch(medium.object_path, path)
            # Files of the spool folder are swept by their age, and a link is as old as what it links to.
            await asyncio.to_thread(os.utime, path)
            if size != medium.size:
                raise MediumGoneError  # noqa: TRY301 - What is there goes with it.
        except MissingObjectError as error:
            raise MediumGoneError from error
        except BaseException:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise
        return SpooledMedia(path, medium.size, medium.digest)

    async def keep(self, medium: ReadyMedium, *, keep: bool) -> ReadyMedium:
        """Keep a medium, or let it go once no job needs it.

        Raises:
            StorageFullError, PassingFullError: There is no room for it.
            NotFoundError: It has gone meanwhile.
        """
        parameters = {"id": medium.id, "account": medium.account_id, "keep": keep, "passing_s": self._passing_s}
        async with transaction(self._engine) as connection:
            found = (await connection.execute(_LOCK, parameters)).one_or_none()
            if found is None:
                raise NotFoundError("This account has no such upload, or it is not complete.")
            if found.kept != keep:
                await self.make_room(connection, medium.account_id, medium.size, keep=keep)
                await connection.execute(_KEEP, parameters)
        return replace(medium, kept=keep)

    async def let_go(self, medium: ReadyMedium) -> None:
        """Remove a medium that nothing came of, as if it had never been there; what a job needs stays."""
        async with transaction(self._engine) as connection:
            gone = (await connection.execute(_DISCARD, {"id": medium.id})).one_or_none()
            if gone is None:
                return
            await connection.execute(_NO_PROOF, {"id": medium.id})
        await self._objects.remove(medium.object_path)
        async with transaction(self._engine) as connection:
            await connection.execute(_FORGET, {"id": medium.id})

    async def make_room(self, connection: AsyncConnection, account_id: UUID, size: int, *, keep: bool) -> None:
        """Hold the account's storage until the transaction ends, in which its row is written.

        Raises:
            StorageFullError, PassingFullError: So many more bytes do not fit.
        """
        parameters = {"account": account_id, "size": size, "keep": keep, "most_passing": self._most_passing}
        if not (await connection.execute(_FITS, parameters)).scalar_one():
            raise await storage_full(connection, account_id, size) if keep else PassingFullError()


def as_ready(row: Any) -> ReadyMedium:
    """A row of `media` whose state is `ready`."""
    return ReadyMedium(
        id=row.id,
        account_id=row.account_id,
        filename=row.filename,
        media_type=row.media_type,
        modality=Modality(row.modality) if row.modality else None,
        size=row.size_bytes,
        digest=row.digest,
        object_path=row.object_path,
        kept=row.kept,
    )
