"""What an account sees and changes of its storage. What an id names is looked for within the account alone."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, LiteralString
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bentos.contract import Modality
from gateway.audit.service import Act, Actor, record
from gateway.db.engine import Database
from gateway.db.paging import read_cursor, write_cursor
from gateway.db.transactions import transaction
from gateway.errors import ConflictError, InvalidBodyError, MediumGoneError, NotFoundError
from gateway.storage.objects import MissingObjectError, ObjectStore
from gateway.storage.schemas import (
    Clearance,
    Cleared,
    MediumPage,
    MediumView,
    ProofPage,
    ProofView,
    StorageChange,
    StorageReport,
)

_LARGEST: Final = 10
_MOST_CLEARED: Final = 10_000

_MEDIUM: Final[LiteralString] = """
    m.id, m.filename, m.media_type, m.modality, m.size_bytes, encode(m.digest, 'hex'), m.kept,
    coalesce(m.completed_at, m.created_at), m.expires_at,
    (SELECT d.id FROM detections d WHERE d.medium_id = m.id AND d.account_id = m.account_id AND d.deleted_at IS NULL
        ORDER BY d.id DESC LIMIT 1)
"""
_REPORT: Final[LiteralString] = """
    SELECT coalesce(s.kept_bytes, 0), coalesce(a.storage_bytes, p.storage_bytes), coalesce(s.kept_count, 0),
        coalesce(s.passing_bytes, 0), coalesce(s.passing_count, 0), a.keeps_media, a.retention_days
    FROM accounts a JOIN plans p ON p.name = a.plan LEFT JOIN storage_meters s ON s.account_id = a.id
    WHERE a.id = %(account_id)s
"""
_BIGGEST: Final[LiteralString] = f"""
    SELECT {_MEDIUM} FROM media m WHERE m.account_id = %(account_id)s AND m.kept AND m.state = 'ready'
    ORDER BY m.size_bytes DESC, m.id LIMIT %(limit)s
"""  # noqa: S608 - The inserted text is a constant.
_PAGE: Final[LiteralString] = f"""
    SELECT {_MEDIUM} FROM media m
    WHERE m.account_id = %(account_id)s AND m.state = 'ready' AND (%(before)s::uuid IS NULL OR m.id < %(before)s)
        AND (%(kept)s::boolean IS NULL OR m.kept = %(kept)s)
        AND (%(modality)s::text IS NULL OR m.modality = %(modality)s)
    ORDER BY m.id DESC LIMIT %(limit)s
"""  # noqa: S608 - The inserted text is a constant.
_ONE: Final[LiteralString] = f"""
    SELECT {_MEDIUM}, m.object_path FROM media m
    WHERE m.account_id = %(account_id)s AND m.id = %(id)s AND m.state = 'ready'
"""  # noqa: S608 - The inserted text is a constant.
_PROOFS: Final[LiteralString] = """
    SELECT medium_id, encode(digest, 'hex'), size_bytes, reason, stored_at, deleted_at FROM deletion_proofs
    WHERE account_id = %(account_id)s AND (%(before)s::uuid IS NULL OR medium_id < %(before)s)
    ORDER BY medium_id DESC LIMIT %(limit)s
"""
_OBJECT_PATH: Final = 10
_PROOF: Final = ("medium_id", "sha256", "size_bytes", "reason", "stored_at", "deleted_at")

_STANDING: Final = text("SELECT keeps_media, retention_days FROM accounts WHERE id = :id FOR NO KEY UPDATE")
_CHANGE: Final = text("UPDATE accounts SET keeps_media = :keeps_media, retention_days = :retention_days WHERE id = :id")
_RETAIN: Final = text("SELECT retain_media(:id, :days)")
_HOLD: Final = text("""
    SELECT 1 FROM detections
    WHERE account_id = :account_id AND medium_id = :id AND status IN ('succeeded', 'failed')
    ORDER BY id FOR NO KEY UPDATE
""")
_OWNED: Final = text("SELECT 1 FROM media WHERE account_id = :account_id AND id = :id AND state = 'ready' FOR UPDATE")
_DISCARD: Final = text("SELECT discard_media(CAST(:ids AS uuid[]), 'owner')")
_KEPT: Final = text("""
    SELECT id, size_bytes FROM media
    WHERE account_id = :account_id AND kept AND state = 'ready'
        AND (CAST(:days AS integer) IS NULL OR completed_at <= now() - make_interval(days => CAST(:days AS integer)))
    ORDER BY id LIMIT :most
""")

_log = structlog.stdlib.get_logger(__name__)

Columns = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """A medium and its bytes, in pieces, not yet read."""

    medium: MediumView
    pieces: AsyncGenerator[bytes]


class Storage:
    """The media of accounts."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._pool = database.pool
        self._engine: AsyncEngine = database.engine
        self._objects = objects

    async def report(self, account_id: UUID) -> StorageReport:
        """What an account has in the store."""
        parameters = {"account_id": account_id, "limit": _LARGEST}
        async with self._pool.connection() as database:
            row = await (await database.execute(_REPORT, parameters)).fetchone()
            largest = await (await database.execute(_BIGGEST, parameters)).fetchall()
        if row is None:
            raise NotFoundError("There is no such account.")
        return StorageReport(
            used_bytes=row[0],
            allowance_bytes=row[1],
            count=row[2],
            passing_bytes=row[3],
            passing_count=row[4],
            keeps_media=row[5],
            retention_days=row[6],
            largest=tuple(_view(one) for one in largest),
        )

    async def change(self, account_id: UUID, change: StorageChange, *, actor: Actor) -> None:
        """Change whether media are kept, and for how long: those that are there already, too."""
        async with transaction(self._engine) as connection:
            row = (await connection.execute(_STANDING, {"id": account_id})).one()
            before = {"keeps_media": row[0], "retention_days": row[1]}
            after = {name: value for name, value in change.given().items() if before[name] != value}
            if not after:
                return
            await connection.execute(_CHANGE, {"id": account_id} | before | after)
            if "retention_days" in after:
                await connection.execute(_RETAIN, {"id": account_id, "days": after["retention_days"]})
            act = Act(actor, "storage.change", "account", str(account_id), {one: before[one] for one in after}, after)
            await record(connection, act)

    async def page(
        self, account_id: UUID, *, kept: bool | None, modality: Modality | None, cursor: str | None, limit: int
    ) -> MediumPage:
        """Up to `limit` media of an account, newest first, from a cursor on. Raises InvalidCursorError."""
        before = read_cursor(cursor) if cursor else None
        parameters = {"account_id": account_id, "kept": kept, "modality": modality, "before": before}
        rows = await self._fetch(_PAGE, parameters | {"limit": limit + 1})
        data = tuple(_view(row) for row in rows[:limit])
        return MediumPage(data=data, next_cursor=write_cursor(data[-1].id) if len(rows) > limit else None)

    async def one(self, account_id: UUID, medium_id: UUID) -> MediumView:
        """A medium of an account. Raises NotFoundError."""
        return _view(await self._row(account_id, medium_id))

    async def content(self, account_id: UUID, medium_id: UUID) -> Content:
        """A medium of an account with its bytes, of which the first are there already.

        Raises:
            NotFoundError: The account has none with this id.
            MediumGoneError: Its object is missing.
            StorageUnavailableError: The object store does not answer.
        """
        row = await self._row(account_id, medium_id)
        pieces = self._objects.stream(row[_OBJECT_PATH])
        try:
            first = await anext(pieces)
        except (MissingObjectError, StopAsyncIteration) as error:
            _log.exception("object_missing", medium_id=str(medium_id))
            raise MediumGoneError from error
        return Content(_view(row), _chained(first, pieces))

    async def delete(self, account_id: UUID, medium_id: UUID) -> None:
        """Delete a medium: from now on nobody reaches it, and shortly it is gone.

        Raises:
            NotFoundError: The account has none with this id.
            ConflictError: A job that has not ended needs it.
        """
        async with transaction(self._engine) as connection:
            # Locked, so that of two who delete it one finds it gone; after its detections, as everywhere.
            owned = {"account_id": account_id, "id": medium_id}
            await connection.execute(_HOLD, owned)
            if (await connection.execute(_OWNED, owned)).one_or_none() is None:
                raise NotFoundError("There is no such medium.")
            if not await _discard(connection, [medium_id]):
                raise ConflictError("A job that has not ended needs this file; cancel it first.", code="medium_in_use")

    async def clear(self, account_id: UUID, wanted: Clearance, *, actor: Actor) -> Cleared:
        """Delete many kept media, at most some thousands in one call.

        Raises:
            InvalidBodyError: It is not said which.
        """
        if wanted.all == (wanted.older_than_days is not None):
            raise InvalidBodyError("Say either `older_than_days`, or `all` as true.")
        parameters = {"account_id": account_id, "days": wanted.older_than_days, "most": _MOST_CLEARED}
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(_KEPT, parameters)).all()
            sizes: dict[UUID, int] = {row[0]: row[1] for row in rows}
            # All at once, for locks are taken in one order: what comes after storage meters may not come before them.
            gone = await _discard(connection, list(sizes))
            cleared = Cleared(
                deleted_count=len(gone),
                deleted_bytes=sum(sizes[one] for one in gone),
                in_use=len(sizes) - len(gone),
                more=len(sizes) == _MOST_CLEARED,
            )
            told = {"older_than_days": wanted.older_than_days, "deleted": len(gone), "bytes": cleared.deleted_bytes}
            await record(connection, Act(actor, "storage.clear", "account", str(account_id), after=told))
        return cleared

    async def proofs(self, account_id: UUID, *, cursor: str | None, limit: int) -> ProofPage:
        """Up to `limit` proofs of deletion, from a cursor on. Raises InvalidCursorError."""
        before = read_cursor(cursor) if cursor else None
        rows = await self._fetch(_PROOFS, {"account_id": account_id, "before": before, "limit": limit + 1})
        data = tuple(ProofView(**dict(zip(_PROOF, row, strict=True))) for row in rows[:limit])
        return ProofPage(data=data, next_cursor=write_cursor(data[-1].medium_id) if len(rows) > limit else None)

    async def _row(self, account_id: UUID, medium_id: UUID) -> Columns:
        rows = await self._fetch(_ONE, {"account_id": account_id, "id": medium_id})
        if not rows:
            raise NotFoundError("There is no such medium.")
        return rows[0]

    async def _fetch(self, statement: LiteralString, parameters: dict[str, Any]) -> list[Columns]:
        async with self._pool.connection() as database:
            return await (await database.execute(statement, parameters)).fetchall()


async def _chained(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


async def _discard(connection: AsyncConnection, medium_ids: list[UUID]) -> list[UUID]:
    """Put media out of reach in a transaction of the caller's; those that are."""
    if not medium_ids:
        return []
    return list((await connection.execute(_DISCARD, {"ids": medium_ids})).scalars())


def _view(row: Columns) -> MediumView:
    return MediumView(
        id=row[0],
        filename=row[1],
        media_type=row[2],
        modality=Modality(row[3]) if row[3] else None,
        size_bytes=row[4],
        sha256=row[5],
        kept=row[6],
        stored_at=row[7],
        expires_at=row[8],
        detection_id=row[9],
    )
