"""The batches of accounts: read, listed, cancelled."""

import time
from collections.abc import AsyncGenerator
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.batches.cancelling import Cancelling
from gateway.batches.queueing import queue_batch
from gateway.batches.results import ITEM_STATUS, Results, write_results
from gateway.batches.schemas import (
    BatchPage,
    BatchSummary,
    BatchView,
    ItemCounts,
    ItemPage,
    ResultsFormat,
    VerdictCounts,
)
from gateway.db.engine import Pool
from gateway.db.paging import read_cursor, write_cursor
from gateway.db.transactions import transaction
from gateway.detections.schemas import DetectionFailure
from gateway.errors import ConflictError, NotFoundError
from gateway.jobs.ending import Endings
from gateway.jobs.schemas import JobStatus

_AT_ONCE_S: Final = 2.0
"""How long a call that cancels goes on with it by itself; the worker does the rest."""

_COLUMNS: Final[LiteralString] = "id, name, status, total, error_code, error_message, created_at, ended_at"
_ONE: Final[LiteralString] = f"SELECT {_COLUMNS} FROM batches WHERE account_id = %s AND id = %s"  # noqa: S608 - Constants.
_PAGE: Final[LiteralString] = f"""
    SELECT {_COLUMNS} FROM batches WHERE account_id = %s AND (%s::uuid IS NULL OR id < %s) ORDER BY id DESC LIMIT %s
"""  # noqa: S608 - The same.
_COUNTS: Final[LiteralString] = f"""
    SELECT {ITEM_STATUS} AS item_status, d.verdict, count(*), min(j.started_at), now(),
        sum(CASE WHEN j.status = 'running' AND (j.progress ->> 'total')::float8 > 0
            THEN least((j.progress ->> 'done')::float8 / (j.progress ->> 'total')::float8, 1) ELSE 0 END)
    FROM batch_items i JOIN batches b ON b.id = i.batch_id
    LEFT JOIN jobs j ON j.batch_id = i.batch_id AND j.place = i.place
    LEFT JOIN detections d ON d.id = j.detection_id AND d.status = 'succeeded' AND d.deleted_at IS NULL
    WHERE i.batch_id = %s GROUP BY 1, 2
"""  # noqa: S608 - The same.
_CANCEL: Final = text("""
    UPDATE batches SET status = 'cancelled', error_code = 'cancelled', error_message = 'The batch was cancelled.'
    WHERE account_id = :account AND id = :id AND status IN ('expanding', 'running')
    RETURNING id
""")
_STATUS: Final = text("SELECT status FROM batches WHERE account_id = :account AND id = :id")


class Batches:
    """The batches of accounts."""

    def __init__(self, engine: AsyncEngine, pool: Pool, results: Results, endings: Endings) -> None:
        self._engine = engine
        self._pool = pool
        self._results = results
        self._cancelling = Cancelling(engine, endings)

    async def one(self, account_id: UUID, batch_id: UUID) -> BatchView:
        """A batch of an account, with how far it is. Raises NotFoundError."""
        async with self._pool.connection() as database:
            row = await (await database.execute(_ONE, (account_id, batch_id))).fetchone()
            if row is None:
                raise NotFoundError("There is no such batch.")
            counted = await (await database.execute(_COUNTS, (batch_id,))).fetchall()
        return _view(_summary(row), counted)

    async def page(self, account_id: UUID, *, cursor: str | None, limit: int) -> BatchPage:
        """Up to `limit` batches of an account, newest first, from a cursor on. Raises InvalidCursorError."""
        before = read_cursor(cursor) if cursor else None
        async with self._pool.connection() as database:
            rows = await (await database.execute(_PAGE, (account_id, before, before, limit + 1))).fetchall()
        data = tuple(_summary(row) for row in rows[:limit])
        return BatchPage(data=data, next_cursor=write_cursor(data[-1].id) if len(rows) > limit else None)

    async def items(
        self, account_id: UUID, batch_id: UUID, *, status: JobStatus | None, cursor: str | None, limit: int
    ) -> ItemPage:
        """Up to `limit` items of a batch, in their order. Raises NotFoundError and InvalidCursorError."""
        await self._find(account_id, batch_id)
        return await self._results.page(batch_id, status=status, cursor=cursor, limit=limit)

    async def results(
        self, account_id: UUID, batch_id: UUID, *, status: JobStatus | None, written_as: ResultsFormat
    ) -> AsyncGenerator[bytes]:
        """All items of a batch as a file, in their order. Raises NotFoundError before there is any of it."""
        await self._find(account_id, batch_id)
        return write_results(self._results.walk(batch_id, status=status), written_as)

    async def cancel(self, account_id: UUID, batch_id: UUID) -> BatchView:
        """Cancel what has not ended of a batch; twice is as good as once. The worker does what takes long.

        Raises:
            NotFoundError: The account has no such batch.
            ConflictError: It has ended already.
        """
        parameters = {"account": account_id, "id": batch_id}
        async with transaction(self._engine) as connection:
            cancelled = (await connection.execute(_CANCEL, parameters)).one_or_none() is not None
            if cancelled:
                await queue_batch(connection, batch_id)
            else:
                status: Any = (await connection.execute(_STATUS, parameters)).scalar_one_or_none()
                if status is None:
                    raise NotFoundError("There is no such batch.")
                if status != "cancelled":
                    raise ConflictError("The batch has ended already.", code="batch_ended")
        until = time.monotonic() + _AT_ONCE_S
        while cancelled and await self._cancelling.step(account_id, batch_id) and time.monotonic() < until:
            continue
        return await self.one(account_id, batch_id)

    async def _find(self, account_id: UUID, batch_id: UUID) -> None:
        async with self._pool.connection() as database:
            if await (await database.execute(_ONE, (account_id, batch_id))).fetchone() is None:
                raise NotFoundError("There is no such batch.")


def _summary(row: Any) -> BatchSummary:
    return BatchSummary(
        id=row[0],
        name=row[1],
        status=row[2],
        total=row[3],
        error=DetectionFailure(code=row[4], message=row[5]) if row[4] else None,
        created_at=row[6],
        ended_at=row[7],
    )


def _view(summary: BatchSummary, counted: list[Any]) -> BatchView:
    """A batch with its counts; what an archive still holds packed is queued, or goes with the batch."""
    counts = dict.fromkeys(ItemCounts.__struct_fields__, 0)
    verdicts = dict.fromkeys(VerdictCounts.__struct_fields__, 0)
    under_way = 0.0
    for status, verdict, count, _, _, fractions in counted:
        counts[status] += count
        if verdict is not None:
            verdicts[verdict.lower()] += count
        under_way += fractions or 0
    packed = summary.total - sum(counts.values())
    counts[{"cancelled": "cancelled", "failed": "failed"}.get(summary.status, "queued")] += packed
    ended = summary.total - counts["queued"] - counts["running"]
    return BatchView(
        **msgspec.structs.asdict(summary),
        counts=ItemCounts(**counts),
        verdicts=VerdictCounts(**verdicts),
        progress=1.0 if summary.ended_at else round(min((ended + under_way) / max(summary.total, 1), 1), 4),
        remaining_s=_remaining_s(summary, counted, ended + under_way),
    )


def _remaining_s(summary: BatchSummary, counted: list[Any], done: float) -> float | None:
    """Seconds that the rest takes at the pace so far; None while there is no pace to tell it by."""
    started = min((row[3] for row in counted if row[3] is not None), default=None)
    if summary.ended_at is not None or started is None or done <= 0:
        return None
    elapsed = (counted[0][4] - started).total_seconds()
    return round(elapsed / done * max(summary.total - done, 0), 1)
