"""The jobs of accounts: read, listed, cancelled."""

import asyncio
import time
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.engine import Pool
from gateway.db.paging import read_cursor, write_cursor
from gateway.db.transactions import transaction
from gateway.errors import ConflictError, NotFoundError
from gateway.history.service import History
from gateway.jobs.ending import Endings
from gateway.jobs.rows import JOB_COLUMNS, JOBS, read_job
from gateway.jobs.schemas import ENDED, JobPage, JobStatus, JobSummary, JobView

MOST_COUNTED: Final = 10_000
"""Beyond this many the jobs before one are not counted on."""
_FIRST_LOOK_S: Final = 0.05
_SLOWEST_LOOK_S: Final = 0.5

_ONE: Final[LiteralString] = f"""
    SELECT {JOB_COLUMNS}, jobs_ahead(j.id, %(most)s) FROM {JOBS}
    WHERE j.account_id = %(account_id)s AND j.id = %(id)s
"""  # noqa: S608 - The inserted text is a constant list of columns.
_PAGE: Final[LiteralString] = f"""
    SELECT {JOB_COLUMNS} FROM {JOBS}
    WHERE j.account_id = %(account_id)s AND (%(before)s::uuid IS NULL OR j.id < %(before)s)
        AND (%(status)s::text IS NULL OR j.status = %(status)s)
        AND (%(batch_id)s::uuid IS NULL OR j.batch_id = %(batch_id)s)
    ORDER BY j.id DESC LIMIT %(limit)s
"""  # noqa: S608 - The same.
_STATUS: Final[LiteralString] = "SELECT status FROM jobs WHERE account_id = %s AND id = %s"
_ONE_WITHIN: Final = text(f"""
    SELECT {JOB_COLUMNS} FROM {JOBS} WHERE j.account_id = :account_id AND j.id = :id
""")  # noqa: S608 - The same.
_OWNED: Final = text("SELECT status FROM jobs WHERE account_id = :account_id AND id = :id FOR NO KEY UPDATE")
_CANCEL: Final = text("SELECT cancel_job(:id, 'The job was cancelled. Nothing was charged.')")


class Jobs:
    """The jobs of accounts."""

    def __init__(self, engine: AsyncEngine, pool: Pool, history: History, endings: Endings) -> None:
        self._engine = engine
        self._pool = pool
        self._history = history
        self._endings = endings

    async def one(self, account_id: UUID, job_id: UUID) -> JobView:
        """A job of an account, with its verdict where it has one. Raises NotFoundError."""
        parameters = {"account_id": account_id, "id": job_id, "most": MOST_COUNTED}
        async with self._pool.connection() as database:
            row = await (await database.execute(_ONE, parameters)).fetchone()
        if row is None:
            raise NotFoundError("There is no such job.")
        summary = read_job(row)
        detection = None
        if summary.status == "succeeded":
            detection, _ = await self._history.replay(account_id, summary.detection_id)
        return JobView(**msgspec.structs.asdict(summary), position=row[-1], detection=detection)

    async def page(
        self, account_id: UUID, *, status: JobStatus | None, batch_id: UUID | None, cursor: str | None, limit: int
    ) -> JobPage:
        """Up to `limit` jobs of an account, newest first, from a cursor on. Raises InvalidCursorError."""
        parameters = {
            "account_id": account_id,
            "before": read_cursor(cursor) if cursor else None,
            "status": status,
            "batch_id": batch_id,
            "limit": limit + 1,
        }
        async with self._pool.connection() as database:
            rows = await (await database.execute(_PAGE, parameters)).fetchall()
        data: tuple[JobSummary, ...] = tuple(read_job(row) for row in rows[:limit])
        return JobPage(data=data, next_cursor=write_cursor(data[-1].id) if len(rows) > limit else None)

    async def cancel(self, account_id: UUID, job_id: UUID) -> JobView:
        """Cancel a job that has not ended; a worker that has it stops within two seconds. Twice is as good as once.

        Raises:
            NotFoundError: The account has no such job.
            ConflictError: It has ended in another way.
        """
        parameters = {"account_id": account_id, "id": job_id}
        async with transaction(self._engine) as connection:
            status: Any = (await connection.execute(_OWNED, parameters)).scalar_one_or_none()
            if status is None:
                raise NotFoundError("There is no such job.")
            if status != "cancelled":
                if not (await connection.execute(_CANCEL, {"id": job_id})).scalar_one():
                    raise ConflictError("The job has ended already.", code="job_ended")
                await self._endings.after(connection, job_id)
            # Read back where it was written: the whole may not be committed yet.
            row = (await connection.execute(_ONE_WITHIN, parameters)).one()
        return JobView(**msgspec.structs.asdict(read_job(row)))

    async def wait(self, account_id: UUID, job_id: UUID, within_s: float) -> bool:
        """Wait until a job has ended, for so many seconds at most; whether it has."""
        until = time.monotonic() + within_s
        pause = _FIRST_LOOK_S
        while True:
            async with self._pool.connection() as database:
                row = await (await database.execute(_STATUS, (account_id, job_id))).fetchone()
            if row is None or row[0] in ENDED:
                return row is not None
            left = until - time.monotonic()
            if left <= 0:
                return False
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, _SLOWEST_LOOK_S)
