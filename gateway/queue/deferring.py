"""Puts jobs into the queue, in the transaction of whoever calls for them: rolled back, there is no job either."""

from datetime import datetime
from typing import Any, Final

from procrastinate import PsycopgConnector
from procrastinate.manager import JobManager
from procrastinate.tasks import configure_task
from sqlalchemy.ext.asyncio import AsyncConnection

DEFAULT_QUEUE: Final = "default"


async def defer(
    connection: AsyncConnection,
    task: str,
    arguments: dict[str, Any],
    *,
    queue: str = DEFAULT_QUEUE,
    schedule_at: datetime | None = None,
    lock: str | None = None,
) -> int:
    """Defer a job for the worker.

    Args:
        connection: Whose transaction the job comes with.
        task: Name of a task that the worker knows.
        arguments: What the task is called with; plain JSON.
        queue: Where it waits.
        schedule_at: When it may run at the earliest; at once where it is None.
        lock: Jobs of the same lock run one after the other.

    Returns:
        The number of the job.
    """
    raw = await connection.get_raw_connection()
    # The connector is never opened: the connection that is handed over is used instead.
    deferrer = configure_task(
        name=task,
        job_manager=JobManager(PsycopgConnector()),
        queue=queue,
        schedule_at=schedule_at,
        lock=lock,
        connection=raw.driver_connection,
    )
    return await deferrer.defer_async(**arguments)
