"""The task `batch`: unpacks the archive of a batch, makes its items into jobs, and cancels what is left of it.

It works in slices, so that no batch holds up what else the worker has to do, and each step is a transaction of its own:
wherever a worker dies, the next one goes on with the step after the last that was committed, and none is done twice.
"""

import time
from typing import Final
from uuid import UUID

import psycopg
import sqlalchemy.exc
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.batches.accepting import accept_chunk
from gateway.batches.cancelling import Cancelling
from gateway.batches.queueing import BATCH_TASK, queue_batch
from gateway.batches.unpacking import Unpacking
from gateway.batches.work import Work
from gateway.db.transactions import transaction
from gateway.errors import FailureError, GatewayError
from gateway.jobs.acceptance import Acceptance
from gateway.jobs.ending import Endings
from gateway.queue.tasks import Patience, Task
from gateway.storage.shelf import Shelf

_SLICE_S: Final = 5.0
_MOST_FAILURES: Final = 8
_PATIENCE: Final = Patience(attempts=_MOST_FAILURES + 2, first_pause_s=2)
_MOST_AT_ONCE: Final = 100

_READ: Final = text("""
    SELECT b.id, b.account_id, b.key_id, b.status, b.total, b.next_place, b.archive_id, b.options, b.request_id,
        b.failures, (SELECT count(*) FROM batch_items i WHERE i.batch_id = b.id) AS unpacked
    FROM batches b WHERE b.id = :id AND b.ended_at IS NULL
""")
_FAIL: Final = text("""
    UPDATE batches SET status = 'failed', ended_at = now(), error_code = :code, error_message = :message
    WHERE id = :id AND status = 'expanding' AND next_place = 0 RETURNING archive_id
""")
_DROP_ITEMS: Final = text("""
    WITH gone AS (DELETE FROM batch_items WHERE batch_id = :id RETURNING medium_id)
    UPDATE media SET kept = false, expires_at = now()
    WHERE :unpacked AND id IN (SELECT medium_id FROM gone) AND state = 'ready'
""")
"""`unpacked`: the media came out of an archive and are nobody's uploads, so that they go with their items."""
_LET_GO: Final = text("UPDATE media SET expires_at = now() WHERE id = :id AND NOT kept AND state = 'ready'")
_GIVE_UP: Final = text("""
    UPDATE batch_items i SET error_code = :code, error_message = :message
    FROM batches b
    WHERE b.id = :id AND i.batch_id = b.id AND i.place >= b.next_place AND i.error_code IS NULL
""")
_GIVEN_UP: Final = text(
    "UPDATE batches SET status = 'running', next_place = total WHERE id = :id AND status = 'expanding'"
)
_COUNT_FAILURE: Final = text("UPDATE batches SET failures = failures + 1 WHERE id = :id RETURNING failures")
_FORGOTTEN: Final = text("""
    SELECT b.id FROM batches b
    LEFT JOIN procrastinate_jobs q ON q.id = b.ticket AND q.status IN ('todo', 'doing')
    WHERE b.status IN ('expanding', 'cancelled') AND b.ended_at IS NULL AND q.id IS NULL
        AND b.created_at < now() - interval '10 seconds'
    LIMIT :most FOR NO KEY UPDATE OF b SKIP LOCKED
""")

_DATABASE_AWAY: Final = (psycopg.OperationalError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)

_log = structlog.stdlib.get_logger(__name__)


class Expanding:
    """Goes on with batches."""

    def __init__(
        self, engine: AsyncEngine, acceptance: Acceptance, unpacking: Unpacking, shelf: Shelf, endings: Endings
    ) -> None:
        self._engine = engine
        self._acceptance = acceptance
        self._unpacking = unpacking
        self._shelf = shelf
        self._endings = endings
        self._cancelling = Cancelling(engine, endings)

    async def run(self, batch_id: str) -> None:
        """Go on with a batch for a slice of time, and queue it again where it is not done with.

        Raises:
            Exception: It broke off; the queue tries again, until it has broken off too often and is given up.
        """
        one = UUID(batch_id)
        until = time.monotonic() + _SLICE_S
        try:
            await self._cancelling.drop(one)
            while await self._step(one, until):
                if time.monotonic() >= until:
                    async with transaction(self._engine) as connection:
                        await queue_batch(connection, one)
                    return
        except _DATABASE_AWAY:
            raise
        except Exception as error:
            at_fault = isinstance(error, GatewayError) and not isinstance(error, FailureError)
            if not at_fault and not await self._is_hopeless(one):
                raise
            if not at_fault:
                _log.exception("batch_given_up", batch_id=batch_id)
            await self._fail(one, error if isinstance(error, GatewayError) else FailureError())

    async def resume(self) -> int:
        """Queue batches again whose entry in the queue is gone; returns how many."""
        async with transaction(self._engine) as connection:
            forgotten = (await connection.execute(_FORGOTTEN, {"most": _MOST_AT_ONCE})).scalars().all()
            for batch_id in forgotten:
                await queue_batch(connection, batch_id)
        if forgotten:
            _log.warning("batches_resumed", count=len(forgotten))
        return len(forgotten)

    async def _step(self, batch_id: UUID, until: float) -> bool:
        """Do the next step of a batch; false where there is none."""
        async with transaction(self._engine) as connection:
            row = (await connection.execute(_READ, {"id": batch_id})).one_or_none()
        if row is None or row.status not in {"expanding", "cancelled"}:
            return False
        work = Work(**{name: getattr(row, name) for name in Work.__slots__})
        if work.status == "cancelled":
            await self._unpacking.let_go(batch_id)
            return await self._cancelling.step(work.account_id, work.id)
        if work.archive_id is not None and work.unpacked < work.total:
            await self._unpacking.go_on(work, until)
            return True
        async with transaction(self._engine) as connection:
            ended = await accept_chunk(connection, self._acceptance, self._shelf, work)
            if ended:
                await self._done(connection, work)
        return not ended

    async def _done(self, connection: AsyncConnection, work: Work) -> None:
        """All items are jobs: the archive is not needed any more, and perhaps all have ended already."""
        if work.archive_id is not None:
            await connection.execute(_LET_GO, {"id": work.archive_id})
        await self._endings.batch_after(connection, work.account_id, work.id)

    async def _is_hopeless(self, batch_id: UUID) -> bool:
        async with transaction(self._engine) as connection:
            failures = (await connection.execute(_COUNT_FAILURE, {"id": batch_id})).scalar_one_or_none()
        return failures is None or failures >= _MOST_FAILURES

    async def _fail(self, batch_id: UUID, error: GatewayError) -> None:
        """End a batch that cannot be gone on with. What has become a job goes on; the rest was not charged."""
        _log.warning("batch_failed", batch_id=str(batch_id), code=error.code)
        await self._unpacking.let_go(batch_id)
        parameters = {"id": batch_id, "code": error.code, "message": error.message}
        async with transaction(self._engine) as connection:
            row = (await connection.execute(_READ, {"id": batch_id})).one_or_none()
            if row is None:
                return
            failed = (await connection.execute(_FAIL, parameters)).one_or_none()
            if failed is not None:
                await connection.execute(_DROP_ITEMS, {"id": batch_id, "unpacked": failed.archive_id is not None})
                if failed.archive_id is not None:
                    await connection.execute(_LET_GO, {"id": failed.archive_id})
                await self._endings.tell_batch(connection, row.account_id, batch_id)
                return
            await connection.execute(_GIVE_UP, parameters)
            await connection.execute(_GIVEN_UP, {"id": batch_id})
            await self._endings.batch_after(connection, row.account_id, batch_id)


def batch_task(expanding: Expanding) -> Task:
    """The task that goes on with batches, as the worker knows it."""
    return Task(name=BATCH_TASK, work=expanding.run, patience=_PATIENCE)
