"""Announces uploads, tells where their bytes go and which are there, and gives them up."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.paging import read_cursor, write_cursor
from gateway.db.transactions import transaction
from gateway.detections.forms import clean_filename
from gateway.errors import ConflictError, FailureError, MediaTooLargeError, NotFoundError, TooManyUploadsError
from gateway.settings import MIB, GatewaySettings
from gateway.storage.objects import ObjectStore
from gateway.storage.shelf import Shelf
from gateway.uploads.addresses import Place, Signer, incoming_of
from gateway.uploads.division import part_size, part_sizes, path_of
from gateway.uploads.rows import MEDIA, UploadRow, find, summary_of, uploads_of, view_of
from gateway.uploads.schemas import NewUpload, PartView, UploadPage, UploadView

URL_LIFE_S: Final = 3600
"""Seconds for which an address is good where nobody asked for less or more."""
_PATH_TRIES: Final = 10
_INSERT: Final = text("""
    INSERT INTO media (account_id, key_id, state, path, filename, media_type, size_bytes, part_bytes, digest, kept,
        expires_at)
    SELECT a.id, :key, 'open', :path, :filename, :media_type, :size, :part_bytes, CAST(:digest AS bytea),
        coalesce(CAST(:keep AS boolean), a.keeps_media), now() + make_interval(secs => :life_s)
    FROM accounts a WHERE a.id = :account
    ON CONFLICT (path) DO NOTHING
    RETURNING *
""")
_KEEPS: Final = text("SELECT coalesce(CAST(:keep AS boolean), keeps_media) FROM accounts WHERE id = :account")
_OPEN: Final = text("SELECT count(*) FROM media WHERE account_id = :account AND state = 'open'")
_DISCARD: Final = text("SELECT discard_media(ARRAY[CAST(:id AS uuid)], 'owner')")


class Uploads:
    """The uploads of accounts."""

    def __init__(
        self, engine: AsyncEngine, objects: ObjectStore, shelf: Shelf, signer: Signer, settings: GatewaySettings
    ) -> None:
        self._engine = engine
        self._objects = objects
        self._shelf = shelf
        self._signer = signer
        self._largest = settings.upload_max_bytes
        self._open_s = settings.upload_open_s
        self._most = settings.uploads_per_account

    async def announce(self, account_id: UUID, key_id: UUID | None, order: NewUpload) -> UploadView:
        """Take room for a file, and say where its bytes go.

        Raises:
            MediaTooLargeError: It is larger than any upload may be.
            InvalidBodyError: It cannot be divided as was asked.
            LimitError: The account has no room for it, or too many uploads that are not complete.
        """
        if order.size_bytes > self._largest:
            raise MediaTooLargeError(f"The file is larger than {self._largest / MIB:g} MB.")
        values: dict[str, Any] = {
            "account": account_id,
            "key": key_id,
            "filename": clean_filename(order.filename),
            "media_type": order.media_type,
            "size": order.size_bytes,
            "part_bytes": part_size(order.size_bytes, order.part_bytes),
            "digest": bytes.fromhex(order.sha256) if order.sha256 else None,
            "keep": order.keep,
            "life_s": self._open_s,
        }
        async with transaction(self._engine) as connection:
            row = await self._insert(connection, values)
        return await self._view(row, URL_LIFE_S)

    async def announce_unsized(
        self, account_id: UUID, key_id: UUID | None, filename: str, *, life_s: int
    ) -> UploadView:
        """The same for a file of which only the name is known; its address is good for `life_s` seconds.

        Raises:
            LimitError: The account has too many uploads that are not complete.
        """
        values: dict[str, Any] = {
            "account": account_id,
            "key": key_id,
            "filename": clean_filename(filename),
            "media_type": None,
            "size": 0,
            "part_bytes": None,
            "digest": None,
            "keep": None,
            "life_s": max(self._open_s, life_s),
        }
        async with transaction(self._engine) as connection:
            row = await self._insert(connection, values)
        return await self._view(row, life_s)

    async def one(self, account_id: UUID, upload_id: UUID) -> UploadView:
        """An upload, with new addresses for what is still to be sent. Raises NotFoundError."""
        async with transaction(self._engine) as connection:
            row = await find(connection, account_id, upload_id)
        return await self._view(row, URL_LIFE_S)

    async def id_of(self, account_id: UUID, path: str) -> UUID:
        """The upload of an account at a path. Raises NotFoundError."""
        if not (path.isascii() and path.isprintable()):
            raise NotFoundError  # None of ours is like that, and Postgres does not even take a NUL to compare with.
        async with transaction(self._engine) as connection:
            row = (await connection.execute(uploads_of(account_id).where(MEDIA.c.path == path))).one_or_none()
        if row is None:
            raise NotFoundError
        return row.id

    async def page(self, account_id: UUID, *, cursor: str | None, limit: int, status: str | None) -> UploadPage:
        """Up to `limit` uploads, newest first, from a cursor on; those in one status where asked for.

        Raises:
            InvalidCursorError: The cursor is none of ours.
        """
        query = uploads_of(account_id).order_by(MEDIA.c.id.desc()).limit(limit + 1)
        if cursor:
            query = query.where(MEDIA.c.id < read_cursor(cursor))
        if status is not None:
            query = query.where(MEDIA.c.state == status)
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(query)).all()
        data = tuple(summary_of(row) for row in rows[:limit])
        return UploadPage(data=data, next_cursor=write_cursor(data[-1].id) if len(rows) > limit else None)

    async def abort(self, account_id: UUID, upload_id: UUID) -> None:
        """Give up an upload; what was sent of it goes within a minute or two.

        Raises:
            NotFoundError: The account has no such upload.
            ConflictError: It is complete.
        """
        async with transaction(self._engine) as connection:
            row = await find(connection, account_id, upload_id, lock=True)
            if row.state == "ready":
                raise ConflictError("It is complete; delete it as a medium of the storage.", code="upload_complete")
            await connection.execute(_DISCARD, {"id": upload_id})

    async def view(self, row: UploadRow) -> UploadView:
        """What is shown of an upload."""
        return await self._view(row, URL_LIFE_S)

    async def _insert(self, connection: AsyncConnection, values: dict[str, Any]) -> UploadRow:
        account_id: UUID = values["account"]
        keep: bool = (await connection.execute(_KEEPS, values)).scalar_one()
        # From here on the account's storage is this transaction's alone, so that the count holds, too.
        await self._shelf.make_room(connection, account_id, values["size"], keep=keep)
        if (await connection.execute(_OPEN, values)).scalar_one() >= self._most:
            raise TooManyUploadsError
        at, filename = datetime.now(UTC), values["filename"]
        for _ in range(_PATH_TRIES):
            row = (
                await connection.execute(_INSERT, values | {"keep": keep, "path": path_of(account_id, at, filename)})
            ).one_or_none()
            if row is not None:
                return row
            # The same name within the same microsecond.
            at += timedelta(microseconds=1)
        raise FailureError

    async def _view(self, row: UploadRow, life_s: int) -> UploadView:
        headers = dict(self._objects.put_headers)
        if row.state != "open":
            return view_of(row, headers=headers)
        now = datetime.now(UTC)
        life_s = max(min(life_s, int((row.expires_at - now).total_seconds())), 1)
        sizes = part_sizes(row.size_bytes, row.part_bytes)
        sent = await self._sent(row.id) if row.part_bytes else {}
        urls = [
            None if number in sent else await self._sign(Place(row.id, number, row.path), size, life_s)
            for number, size in enumerate(sizes, 1)
        ]
        expire_at = now + timedelta(seconds=life_s)
        if row.part_bytes is None:
            return view_of(row, headers=headers, url=urls[0], urls_expire_at=expire_at)
        parts = tuple(
            PartView(number=number, size=size, sent=number in sent, url=url)
            for number, (size, url) in enumerate(zip(sizes, urls, strict=True), 1)
        )
        return view_of(row, headers=headers, urls_expire_at=expire_at, parts=parts)

    async def _sent(self, upload_id: UUID) -> dict[int, int]:
        """The parts of an upload that are there, and their sizes in bytes."""
        prefix = incoming_of(upload_id)
        return {
            int(stored.path.removeprefix(f"{prefix}/").partition("/")[0]): stored.size
            async for stored in self._objects.list(prefix)
        }

    async def _sign(self, place: Place, size: int, life_s: int) -> str:
        signed = await self._objects.sign_put(place.object_path, timedelta(seconds=life_s))
        return signed or self._signer.sign(place, size=size, life_s=life_s)
