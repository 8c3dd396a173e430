"""The task `job`: takes a job by a lease, has its medium judged, and ends it, or gives it back for another try.

Nothing that it finds out is taken once it has lost its lease: another worker may have the job by then. The queue may
run an entry twice or run an entry of a job that was cancelled; only a queued job is begun.
"""

import asyncio
import os
import socket
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

import psycopg
import sqlalchemy.exc
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bentos.contract import Modality
from gateway.db.transactions import transaction
from gateway.detections.client import BentoAnswer
from gateway.errors import (
    AccountSuspendedError,
    DatabaseUnavailableError,
    DeadlineExceededError,
    FailureError,
    GatewayError,
    UnavailableError,
    UrlUnreachableError,
)
from gateway.jobs.ending import Endings
from gateway.jobs.judging import JobMedium, Judging
from gateway.jobs.leases import Leases
from gateway.jobs.outcomes import fail_job, retry_job, succeed_job
from gateway.queue.lanes import JOB_QUEUES
from gateway.queue.tasks import Patience, Task, pause_s

JOB_TASK: Final = "job"
JOB_PATIENCE: Final = Patience(attempts=5, first_pause_s=5)
"""How often a job may fail by our fault, and how long it waits before it is tried again."""
OUTAGE_PATIENCE: Final = Patience(attempts=40, first_pause_s=5)
"""The same where a part of the platform is away, which is no fault of the job: some three hours in all."""
_LONGEST_PAUSE_S: Final = 300.0
_ENTRY_PATIENCE: Final = Patience(attempts=10, first_pause_s=2)
"""The same for its entry in the queue, which fails only where the database is away."""
_END_TRIES: Final = 5
_END_PAUSE_S: Final = 0.2

_BEGIN: Final = text("""
    SELECT b.id, b.account_id, b.detection_id, b.attempt, b.failures, b.medium_id, b.model, b.request_id, b.key_id,
        CASE WHEN a.status <> 'deleted' THEN b.source_url END AS source_url, d.modality, d.filename,
        a.status = 'suspended' AS suspended
    FROM begin_job(:id, :lease_s, :worker) b JOIN detections d ON d.id = b.detection_id
        JOIN accounts a ON a.id = b.account_id
""")
"""What an account had in the store goes with it; nor is anything fetched for one that was deleted."""
_DATABASE_AWAY: Final = (psycopg.OperationalError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)

Result = TypeVar("Result")

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A job that this worker has, under the token `attempt`; `suspended`: its account may not do anything now."""

    id: UUID
    detection_id: UUID
    attempt: UUID
    failures: int
    suspended: bool
    medium: JobMedium


class JobRunning:
    """Runs jobs."""

    def __init__(
        self, engine: AsyncEngine, judging: Judging, leases: Leases, endings: Endings, *, lease_s: float
    ) -> None:
        self._engine = engine
        self._judging = judging
        self._leases = leases
        self._endings = endings
        self._lease_s = lease_s
        self._worker = f"{socket.gethostname()}:{os.getpid()}"

    async def run(self, job_id: str) -> None:
        """Do a job as far as it can be done now. An error of the database is raised: the queue tries again."""
        beginning = asyncio.create_task(self._begin(UUID(job_id)))
        try:
            begun = await _to_the_end(beginning)
        except asyncio.CancelledError:
            if not beginning.cancelled() and not beginning.exception() and (taken := beginning.result()):
                await _to_the_end(asyncio.create_task(self._end(taken, _stopped())))
            raise
        if begun is None:
            return
        if begun.suspended:
            await self._end(begun, AccountSuspendedError())
            return
        work = asyncio.create_task(self._judging.judge(begun.medium))
        with structlog.contextvars.bound_contextvars(job_id=job_id), self._leases.hold(begun.attempt, work):
            try:
                answer = await _outcome(work)
            except asyncio.CancelledError:
                # The worker is stopped, and has waited as long as it may: somebody else goes on at once.
                await _to_the_end(asyncio.create_task(self._end(begun, _stopped())))
                raise
            if answer is not None:
                await _to_the_end(asyncio.create_task(self._end(begun, answer)))

    async def _begin(self, job_id: UUID) -> Begun | None:
        parameters = {"id": job_id, "lease_s": self._lease_s, "worker": self._worker}
        async with transaction(self._engine) as connection:
            row = (await connection.execute(_BEGIN, parameters)).one_or_none()
        if row is None:
            _log.info("job_not_to_be_begun", job_id=str(job_id))
            return None
        return Begun(
            id=row.id,
            detection_id=row.detection_id,
            attempt=row.attempt,
            failures=row.failures,
            suspended=row.suspended,
            medium=JobMedium(
                job_id=row.id,
                account_id=row.account_id,
                key_id=row.key_id,
                detection_id=row.detection_id,
                attempt=row.attempt,
                medium_id=row.medium_id,
                source_url=row.source_url,
                modality=Modality(row.modality),
                filename=row.filename,
                model=row.model,
                request_id=row.request_id,
            ),
        )

    async def _end(self, begun: Begun, outcome: BentoAnswer | GatewayError) -> None:
        """Write down what came of it; while the database is away, again and again for as long as a lease may last.

        What the database does not take is a failure of ours: left alone, the job would lose its lease, and be judged
        again and again to no other end.
        """
        for attempt in range(_END_TRIES):
            try:
                async with transaction(self._engine) as connection:
                    taken = await self._write(connection, begun, outcome)
            except _DATABASE_AWAY as error:
                _log.warning("job_end_failed", job_id=str(begun.id), reason=str(error))
                await asyncio.sleep(_END_PAUSE_S * 2**attempt)
            except sqlalchemy.exc.DBAPIError:
                _log.exception("job_end_not_taken", job_id=str(begun.id))
                outcome = FailureError()
            else:
                if not taken:
                    _log.warning("late_write_refused", job_id=str(begun.id), attempt=str(begun.attempt))
                return
        # Its lease passes, and it is taken up again.
        raise DatabaseUnavailableError

    async def _write(self, connection: AsyncConnection, begun: Begun, outcome: BentoAnswer | GatewayError) -> bool:
        if isinstance(outcome, BentoAnswer):
            taken = await succeed_job(connection, begun.id, begun.detection_id, begun.attempt, outcome)
        elif _may_be_tried_again(outcome, begun.failures):
            counts = outcome.code != _STOPPED
            pause = min(pause_s(_patience(outcome), begun.failures).total_seconds(), _LONGEST_PAUSE_S)
            pause = max(pause, outcome.retry_after_s or 0) * counts
            _log.info("job_retried", job_id=str(begun.id), code=outcome.code, pause_s=round(pause, 1))
            return await retry_job(connection, begun.id, begun.attempt, outcome, pause_s=pause, failed=counts)
        else:
            dead = isinstance(outcome, FailureError)
            (_log.error if dead else _log.info)("job_failed_for_good", job_id=str(begun.id), code=outcome.code)
            taken = await fail_job(connection, begun.id, begun.detection_id, begun.attempt, outcome, dead=dead)
        if taken:
            await self._endings.after(connection, begun.id)
        return taken


_STOPPED: Final = "worker_stopped"


def _stopped() -> GatewayError:
    return UnavailableError("The worker was stopped; another goes on.", code=_STOPPED)


def _may_be_tried_again(error: GatewayError, failures: int) -> bool:
    """Whether another try may succeed: what is at fault in the medium stays so, what took too long does too."""
    if error.code == _STOPPED:
        return True
    if not isinstance(error, FailureError) or isinstance(error, DeadlineExceededError):
        return False
    return failures + 1 < _patience(error).attempts


def _patience(error: GatewayError) -> Patience:
    away = isinstance(error, UnavailableError) and not isinstance(error, UrlUnreachableError)
    return OUTAGE_PATIENCE if away else JOB_PATIENCE


async def _to_the_end(step: asyncio.Task[Result]) -> Result:
    """What comes of a short step, which goes on where whoever waits here is told to stop.

    Its commit may be under way, and nobody would know of it.

    Raises:
        asyncio.CancelledError: Whoever waits here was told to stop; the step is over all the same.
    """
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        await asyncio.wait({step})
        raise


async def _outcome(work: asyncio.Task[BentoAnswer]) -> BentoAnswer | GatewayError | None:
    """What came of judging; None where it was stopped because the job is not ours any more.

    Raises:
        asyncio.CancelledError: Whoever waits here was told to stop.
    """
    try:
        done, _ = await asyncio.wait({work})
    except asyncio.CancelledError:
        work.cancel()
        await asyncio.wait({work})
        raise
    task = done.pop()
    if task.cancelled():
        return None
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, _DATABASE_AWAY):
        return DatabaseUnavailableError(retry_after_s=1)
    _log.error("judging_failed", exc_info=error)
    return FailureError()


def job_task(running: JobRunning) -> Task:
    """The task that runs jobs, as the worker knows it; `enqueue_jobs` puts each into the queue of its class."""
    return Task(name=JOB_TASK, work=running.run, queue=JOB_QUEUES[-1], patience=_ENTRY_PATIENCE)
