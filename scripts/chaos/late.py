"""Stops a worker in the middle of a job for longer than its lease: another does it, and what comes late is refused."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import UUID

from scripts.chaos.clients import Client, Tally, make_account
from scripts.chaos.errors import ChaosError
from scripts.chaos.figures import Report
from scripts.chaos.grounds import Judge, Platform, platform
from scripts.chaos.ledger import Books

LEASE_S: Final = 3.0
_WORKERS: Final = 2
_WITHIN_S: Final = 60.0
_LOOK_S: Final = 0.02
_SAID: Final = ("late_write_refused", "lease_lost")

_HOLDER: Final[LiteralString] = (
    "SELECT split_part(worker, ':', 2), attempt FROM jobs WHERE id = %s AND status = 'running'"
)
_STATUS: Final[LiteralString] = "SELECT status FROM jobs WHERE id = %s"
# What is not kept is let go of at its own time.
_EVERYTHING: Final[LiteralString] = """
    SELECT to_jsonb(j) - 'medium_id', to_jsonb(d), to_jsonb(m),
        (SELECT jsonb_agg(to_jsonb(e) ORDER BY e.place) FROM job_events e WHERE e.job_id = j.id)
    FROM jobs j JOIN detections d ON d.id = j.detection_id JOIN meters m ON m.subject_id = j.account_id
    WHERE j.id = %s
"""
_LATE: Final[dict[str, LiteralString]] = {
    "end": "SELECT end_job(%(id)s, %(attempt)s, 'failed', 'late', 'Late.', false, '{}')",
    "retry": "SELECT retry_job(%(id)s, %(attempt)s, 'late', 'Late.', 0, true)",
    "progress": "SELECT progress_job(%(id)s, %(attempt)s, '{}')",
    "renewal": "SELECT count(*) > 0 FROM renew_leases(ARRAY[%(attempt)s]::uuid[], 60)",
    "failure": """
        SELECT fail_detection(id, %(attempt)s, 'late', 'Late.') IS NOT NULL FROM detections WHERE job_id = %(id)s
    """,
}


async def write_late(folder: Path, judge: Judge, picture: bytes, *, times: int, say: Callable[[str], None]) -> Report:
    """Stop a worker so many times; the judge has to take a second or so for each picture.

    Raises:
        ChaosError: A part did not start, or a job was not gone on with.
    """
    report = Report(run="late", on=judge.words)
    async with AsyncExitStack() as stack:
        settings = {"JOB_LEASE_S": str(LEASE_S), "WORKER_CONCURRENCY": "1"}
        place = await stack.enter_async_context(platform(folder, judge, settings=settings))
        account, books, tally = make_account(place.conninfo), Books(place.conninfo), Tally()
        client = await stack.enter_async_context(Client(place.url, account.key, tally))
        await place.start_workers(_WORKERS)
        refused: dict[str, int] = dict.fromkeys(_LATE, 0)
        said = changed = 0
        for number in range(times):
            say(f"stopping a worker, {number + 1} of {times}")
            job = UUID(await client.hand_over(picture, f"job-{number}"))
            pid, attempt = await _stop_holder(place, books, job)
            await _until_ended(books, job)
            before, words = await books.rows(_EVERYTHING, (job,)), _said(place)
            place.signal_worker(pid, signal.SIGCONT)
            said += await _until_said(place, words)
            for name, query in _LATE.items():
                row = await books.rows(query, {"id": job, "attempt": attempt})
                refused[name] += not row[0][0]
            changed += before != await books.rows(_EVERYTHING, (job,))
        report.exactly("workers that found out that they had lost the job", said, times)
        for name, count in refused.items():
            report.exactly(f"late writes under the lost token refused: {name}", count, times)
        report.exactly("jobs, detections, charges or events changed by it", changed, 0)
        await books.jobs(report, account.id, list(tally.ids.values()))
        await books.charges(report, account.id)
    return report


async def _stop_holder(place: Platform, books: Books, job: UUID) -> tuple[int, UUID]:
    """SIGSTOP the worker that has a job, in the middle of it; the worker's number, and its token."""
    until = time.monotonic() + _WITHIN_S
    while time.monotonic() < until:
        holder: list[Any] = await books.rows(_HOLDER, (job,))
        if holder:
            pid, attempt = int(holder[0][0]), holder[0][1]
            place.signal_worker(pid, signal.SIGSTOP)
            return pid, attempt
        await asyncio.sleep(_LOOK_S)
    raise ChaosError(f"the job {job} was not begun for {_WITHIN_S:.0f} s")


async def _until_ended(books: Books, job: UUID) -> None:
    until = time.monotonic() + _WITHIN_S
    while time.monotonic() < until:
        if (await books.rows(_STATUS, (job,)))[0][0] not in {"queued", "running"}:
            return
        await asyncio.sleep(_LOOK_S)
    raise ChaosError(f"nobody went on with the job {job} for {_WITHIN_S:.0f} s")


async def _until_said(place: Platform, before: int) -> bool:
    """Wait a few seconds until a worker has said in the log that it lost its job, or that its write was refused."""
    until = time.monotonic() + 3 * LEASE_S
    while time.monotonic() < until:
        if _said(place) > before:
            return True
        await asyncio.sleep(_LOOK_S)
    return False


def _said(place: Platform) -> int:
    log = place.log("workers")
    return sum(log.count(f'"{words}"') for words in _SAID)
