"""The queue of jobs as a whole: looked at, paused and resumed by admins."""

from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.audit.service import Act, Actor, record
from gateway.db.transactions import transaction
from gateway.jobs.load import JOBS, QueueView, read_queue

_PAUSE: Final = text("""
    INSERT INTO queue_pauses (queue, reason) VALUES (:queue, :reason)
    ON CONFLICT (queue) DO UPDATE SET reason = excluded.reason
""")
_RESUME: Final = text("DELETE FROM queue_pauses WHERE queue = :queue")
_STANDING: Final = text("SELECT reason FROM queue_pauses WHERE queue = :queue FOR UPDATE")


class QueueControl:
    """What admins can do with the queue of jobs."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def state(self) -> QueueView:
        """The queue as it stands."""
        return await read_queue(self._engine)

    async def pause(self, reason: str, *, actor: Actor) -> QueueView:
        """Let no job begin from now on. What runs goes on, and jobs are accepted."""
        async with transaction(self._engine) as connection:
            before = await _standing(connection)
            if before != {"reason": reason}:
                await connection.execute(_PAUSE, {"queue": JOBS, "reason": reason})
                await record(connection, Act(actor, "queue.pause", "queue", JOBS, before, {"reason": reason}))
        return await self.state()

    async def resume(self, *, actor: Actor) -> QueueView:
        """Let jobs begin again; nothing where they may already."""
        async with transaction(self._engine) as connection:
            before = await _standing(connection)
            if before is not None:
                await connection.execute(_RESUME, {"queue": JOBS})
                await record(connection, Act(actor, "queue.resume", "queue", JOBS, before))
        return await self.state()


async def _standing(connection: AsyncConnection) -> dict[str, Any] | None:
    """The pause that holds now, locked; None where there is none."""
    row = (await connection.execute(_STANDING, {"queue": JOBS})).one_or_none()
    return None if row is None else {"reason": row[0]}
