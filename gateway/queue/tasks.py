"""What the worker can be asked to do: a task has a name, the work itself, and how often it may be tried.

A job may run twice, for its worker may die after the work and before it has said so: the work of a task has to bear it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import structlog
from procrastinate import BaseRetryStrategy, JobContext, RetryDecision
from procrastinate.exceptions import JobAborted
from procrastinate.job_context import AbortReason
from procrastinate.jobs import Job

from gateway.queue.deferring import DEFAULT_QUEUE

_LONGEST_PAUSE_S: Final = 3600.0
_JITTER: Final = 0.25

_log = structlog.stdlib.get_logger(__name__)


class HopelessError(Exception):
    """The work of a job cannot succeed, however often it is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a job is tried, and how many seconds after its first failure it is tried again; then twice that."""

    attempts: int = 5
    first_pause_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """`work` is awaited with the job's arguments by name. It fails by raising, for good with `HopelessError`."""

    name: str
    work: Callable[..., Awaitable[object]]
    queue: str = DEFAULT_QUEUE
    patience: Patience = field(default_factory=Patience)

    async def run(self, context: JobContext, **arguments: Any) -> None:
        """Do the work of a job and say in the log what came of it, without what it was called with.

        Raises:
            JobAborted: Somebody asked for the end of this job.
        """
        attempt = context.job.attempts + 1
        with structlog.contextvars.bound_contextvars(job=context.job.id, task=self.name, attempt=attempt):
            try:
                await self.work(**arguments)
            except asyncio.CancelledError as error:
                reason = context.abort_reason()
                _log.warning("job_interrupted", reason=reason.value if reason else None)
                if reason is AbortReason.USER_REQUEST:
                    raise JobAborted from error
                raise
            except Exception as error:
                last = attempt >= self.patience.attempts or isinstance(error, HopelessError)
                (_log.error if last else _log.warning)("job_failed", last=last, exc_info=True)
                raise
            _log.info("job_succeeded")


class PatientStrategy(BaseRetryStrategy):
    """Tries again with growing pauses, a limited number of times; what a stopping worker cut off is always resumed."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """When to try again; None: never."""
        if isinstance(exception, asyncio.CancelledError):
            return RetryDecision(retry_in={"seconds": 0})
        if isinstance(exception, HopelessError) or job.attempts + 1 >= self._patience.attempts:
            return None
        return RetryDecision(retry_in={"seconds": round(pause_s(self._patience, job.attempts).total_seconds())})


def pause_s(patience: Patience, failures_before: int) -> timedelta:
    """How long to wait after one more failure: doubled each time, up to an hour, and spread by a quarter."""
    pause = min(patience.first_pause_s * 2.0**failures_before, _LONGEST_PAUSE_S)
    return timedelta(seconds=pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - It spreads load, no more.
