"""Keeps jobs going whose workers died, and queue entries in step with jobs. Any number of workers may do it at once."""

from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.transactions import transaction
from gateway.errors import FailureError
from gateway.jobs.ending import Endings
from gateway.jobs.outcomes import fail_job

MOST_AT_ONCE: Final = 100
UNBEGUN_S: Final = 5.0
"""A worker begins a job milliseconds after it has taken its entry from the queue; after so long it did not live to."""

_TAKE_BACK: Final = text("SELECT id, detection_id, attempt FROM take_back_jobs(:most_losses, :most, 60)")
_REISSUE_UNBEGUN: Final = text("SELECT reissue_unbegun(:after_s, :most)")
_REISSUE: Final = text("SELECT reissue_tickets(:most)")
_FORGET: Final = text("""
    DELETE FROM jobs WHERE id IN (
        SELECT j.id FROM jobs j LEFT JOIN batches b ON b.id = j.batch_id
        WHERE j.ended_at < now() - make_interval(days => :days)
            AND (b.id IS NULL OR b.ended_at < now() - make_interval(days => :days))
        ORDER BY j.ended_at LIMIT :most FOR UPDATE OF j SKIP LOCKED
    )
""")
_FORGET_BATCHES: Final = text("""
    DELETE FROM batches WHERE id IN (
        SELECT b.id FROM batches b
        WHERE b.ended_at < now() - make_interval(days => :days)
            AND NOT EXISTS (SELECT 1 FROM jobs WHERE batch_id = b.id)
        LIMIT :most FOR UPDATE OF b SKIP LOCKED
    )
""")
_FORGOTTEN_AT_ONCE: Final = 2000

_log = structlog.stdlib.get_logger(__name__)


class JobUpkeep:
    """What has to be done to jobs now and then."""

    def __init__(self, engine: AsyncEngine, endings: Endings, *, most_losses: int, retention_days: int) -> None:
        self._retention_days = retention_days
        self._engine = engine
        self._endings = endings
        self._most_losses = most_losses

    async def take_back(self) -> int:
        """Give jobs back to the queue whose lease has passed or whose worker did not live to begin them.

        Those that were lost too often are given up.

        Returns:
            How many were given up.
        """
        async with transaction(self._engine) as connection:
            parameters = {"most_losses": self._most_losses, "most": MOST_AT_ONCE}
            rows = (await connection.execute(_TAKE_BACK, parameters)).all()
            for row in rows:
                error = FailureError("Its workers did not come back, again and again.", code="worker_lost")
                _log.error("job_given_up", job_id=str(row.id), code=error.code)
                if await fail_job(connection, row.id, row.detection_id, row.attempt, error, dead=True):
                    await self._endings.after(connection, row.id)
            unbegun = {"after_s": UNBEGUN_S, "most": MOST_AT_ONCE}
            count: int = (await connection.execute(_REISSUE_UNBEGUN, unbegun)).scalar_one()
        if count:
            _log.warning("unbegun_jobs_reissued", count=count)
        return len(rows)

    async def reissue(self) -> int:
        """Put queued jobs back into the queue whose entry there is gone; returns how many."""
        async with transaction(self._engine) as connection:
            count: int = (await connection.execute(_REISSUE, {"most": MOST_AT_ONCE})).scalar_one()
        if count:
            _log.warning("queue_entries_reissued", count=count)
        return count

    async def forget(self) -> int:
        """Remove jobs that ended long ago with their events, and batches that have none left; returns how many jobs."""
        parameters = {"days": self._retention_days, "most": _FORGOTTEN_AT_ONCE}
        async with transaction(self._engine) as connection:
            count = (await connection.execute(_FORGET, parameters)).rowcount
            await connection.execute(_FORGET_BATCHES, parameters)
        return count
