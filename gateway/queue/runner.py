"""Runs the queue: takes jobs, a few at a time, and beats in the database as long as it can.

procrastinate gives up when the database goes away; here it is started again, later each time, so that a database that
is restarted costs nobody their worker.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog
from procrastinate import App, PsycopgConnector
from psycopg_pool import AsyncConnectionPool

from gateway.db.engine import CONNECTING, connection_string
from gateway.logs import WORKER_NAME
from gateway.queue.lanes import Lane, lanes_of
from gateway.queue.tasks import PatientStrategy, Task
from gateway.settings import GatewaySettings

HEARTBEAT_S: Final = 5.0

_POLL_S: Final = 2.0
"""How late a job may be noticed whose time has come, or whose notification was lost."""
_POOL_TIMEOUT_S: Final = 5
_STATEMENT_TIMEOUT_MS: Final = 15_000
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0
_BEATING_S: Final = 60.0
"""A run that lasted this long was a good one: the next pause is the first again."""

_log = structlog.stdlib.get_logger(__name__)


def stalled_after_s(settings: GatewaySettings) -> float:
    """Seconds without a heartbeat after which a worker counts as dead; one that drains has stopped beating."""
    return settings.drain_timeout_s + 30


class Runner:
    """Runs jobs until it is told to stop, and then gives those under way some time to finish."""

    def __init__(self, tasks: Sequence[Task], settings: GatewaySettings, lanes: Sequence[Lane] | None = None) -> None:
        self._settings = settings
        self._lanes = lanes_of(settings.worker_concurrency) if lanes is None else lanes
        self._stopping = asyncio.Event()
        self._connector = PsycopgConnector(
            conninfo=connection_string(settings.database_url.get_secret_value()),
            min_size=1,
            # Each lane listens on a connection of its own; the others are for taking and ending tasks.
            max_size=len(self._lanes) + settings.worker_concurrency + 4,
            timeout=_POOL_TIMEOUT_S,
            kwargs={
                **CONNECTING,
                "options": f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c timezone=UTC",
            },
            pool_factory=AsyncConnectionPool,
        )
        self._app = App(connector=self._connector)
        taken_from = {queue for lane in self._lanes for queue in lane.queues}
        for task in tasks:
            if task.queue not in taken_from:
                raise ValueError(f"no lane takes from the queue {task.queue!r} of the task {task.name!r}")
            self._app.task(name=task.name, queue=task.queue, pass_context=True, retry=PatientStrategy(task.patience))(
                task.run
            )

    def stop(self) -> None:
        """Take no more jobs, and return from `run` when those under way have ended or were cut off."""
        self._stopping.set()

    async def run(self) -> None:
        """Run tasks until `stop` is called."""
        async with self._app.open_async():
            await asyncio.gather(*(self._run_lane(lane) for lane in self._lanes))

    async def _run_lane(self, lane: Lane) -> None:
        pause, clock = _FIRST_PAUSE_S, asyncio.get_running_loop().time
        while not self._stopping.is_set():
            began = clock()
            try:
                await self._run_once(lane)
            except Exception:  # noqa: BLE001 - Mostly the database is away; it is logged, and tried again.
                _log.warning("queue_interrupted", lane=lane.name, exc_info=True)
            pause = _FIRST_PAUSE_S if clock() - began > _BEATING_S else min(pause * 2, _LONGEST_PAUSE_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run_once(self, lane: Lane) -> None:
        """Run the tasks of a lane until told to stop, or until the library gives up."""
        settings = self._settings
        queue = asyncio.create_task(
            self._app.run_worker_async(
                name=f"{WORKER_NAME}.{lane.name}",
                queues=list(lane.queues),
                concurrency=lane.places,
                fetch_job_polling_interval=_POLL_S,
                abort_job_polling_interval=_POLL_S,
                shutdown_graceful_timeout=settings.drain_timeout_s,
                install_signal_handlers=False,
                update_heartbeat_interval=HEARTBEAT_S,
                stalled_worker_timeout=stalled_after_s(settings),
            )
        )
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({queue, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not queue.done():
            # Cancelled, it takes no more tasks and waits for those under way.
            queue.cancel()
            with suppress(asyncio.CancelledError):
                await queue
        else:
            await queue
