"""Keeps the queue in order: jobs of dead workers are taken up again, those long finished are forgotten."""

from collections.abc import Mapping, Sequence
from typing import Final, LiteralString

import structlog

from gateway.db.engine import Pool
from gateway.queue.tasks import Patience, Task

_TURN: Final = "SELECT pg_try_advisory_xact_lock(hashtext('bonafide.queue'))"
_STALLED: Final = """
    SELECT j.id, j.task_name, j.attempts FROM procrastinate_jobs j
    LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
    WHERE j.status = 'doing'
        AND (w.id IS NULL OR w.last_heartbeat < now() - make_interval(secs => %(stalled_after_s)s))
    ORDER BY j.id LIMIT 100
"""
_TAKE_UP: Final = "SELECT procrastinate_retry_job_v2(%(id)s, now(), NULL, NULL, NULL)"
_GIVE_UP: Final = "SELECT procrastinate_finish_job_v1(%(id)s, 'failed', false)"

_ENDED: Final[LiteralString] = """
    (SELECT max(e.at) FROM procrastinate_events e WHERE e.job_id = j.id) < now() - make_interval(hours => %(hours)s)
"""
_REMOVE: Final[LiteralString] = f"""
    DELETE FROM procrastinate_jobs WHERE id IN (
        SELECT j.id FROM procrastinate_jobs j
        WHERE j.status IN ('succeeded', 'failed', 'cancelled', 'aborted') AND {_ENDED}
        ORDER BY j.id LIMIT 1000
    )
"""  # noqa: S608 - The inserted text is a constant condition.
_FORGET: Final[LiteralString] = f"""
    UPDATE procrastinate_jobs j SET args = '{{}}'
    WHERE j.status IN ('failed', 'aborted') AND j.args <> '{{}}' AND {_ENDED}
"""  # noqa: S608 - The inserted text is a constant condition.
_FORGET_AFTER_HOURS: Final = 24
"""What a failed job was called with is kept for a day, for whoever looks into it."""

_log = structlog.stdlib.get_logger(__name__)


class Upkeep:
    """What has to be done to the queue now and then, by whichever worker comes first."""

    def __init__(self, pool: Pool, tasks: Sequence[Task], *, stalled_after_s: float, retention_days: int) -> None:
        self._pool = pool
        self._patience: Mapping[str, Patience] = {task.name: task.patience for task in tasks}
        self._stalled_after_s = stalled_after_s
        self._retention_days = retention_days

    async def take_up_stalled(self) -> int:
        """Put the jobs of dead workers back into the queue, or give those up that were tried often enough.

        Returns:
            How many there were.
        """
        async with self._pool.connection() as database, database.transaction():
            turn = await (await database.execute(_TURN)).fetchone()
            if turn is None or not turn[0]:
                return 0
            rows = await (await database.execute(_STALLED, {"stalled_after_s": self._stalled_after_s})).fetchall()
            for number, task, attempts in rows:
                last = attempts + 1 >= self._patience.get(task, Patience()).attempts
                await database.execute(_GIVE_UP if last else _TAKE_UP, {"id": number})
                _log.warning("job_stalled", job=number, task=task, last=last)
            return len(rows)

    async def forget_finished(self) -> int:
        """Remove jobs that ended long ago, and what the failed ones were called with sooner. Returns how many went."""
        async with self._pool.connection() as database:
            await database.execute(_FORGET, {"hours": _FORGET_AFTER_HOURS})
            return (await database.execute(_REMOVE, {"hours": 24 * self._retention_days})).rowcount
