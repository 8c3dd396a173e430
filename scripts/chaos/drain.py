"""SIGTERM of a worker in the middle of jobs: they end, or are given back at once; none waits for its lease to pass."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, LiteralString

from scripts.chaos.clients import Client, Tally, make_account
from scripts.chaos.errors import ChaosError
from scripts.chaos.figures import Report
from scripts.chaos.grounds import Judge, Platform, platform
from scripts.chaos.ledger import Books

LEASE_S: Final = 30.0
_CONCURRENCY: Final = 2
_JOBS: Final = 8
_WITHIN_S: Final = 60.0
_LOOK_S: Final = 0.02
_SLACK_S: Final = 5.0

_HELD: Final[LiteralString] = """
    SELECT id FROM jobs WHERE status = 'running' AND worker LIKE '%%:' || %s::text
"""
_BACK: Final[LiteralString] = """
    SELECT extract(epoch FROM b.at - r.at)::float8 FROM job_events r JOIN job_events b USING (job_id)
    JOIN jobs j ON j.id = r.job_id
    WHERE r.kind = 'retrying' AND b.kind = 'running' AND b.place = r.place + 1 AND j.account_id = %s
"""
_LOST: Final[LiteralString] = "SELECT coalesce(sum(losses), 0) FROM jobs WHERE account_id = %s"


async def drain_workers(
    folder: Path, judge: Judge, picture: bytes, *, times: int, say: Callable[[str], None]
) -> list[Report]:
    """End workers so many times each that wait for their jobs, and that do not wait for as long as a job takes.

    The judge has to take a second or so for each picture.

    Raises:
        ChaosError: A part did not start, or a worker never had a job.
    """
    settings = {"JOB_LEASE_S": str(LEASE_S), "WORKER_CONCURRENCY": str(_CONCURRENCY)}
    async with platform(folder, judge, settings=settings) as place:
        return [await _drain(place, judge, picture, times=times, patient=patient, say=say) for patient in (True, False)]


async def _drain(
    place: Platform, judge: Judge, picture: bytes, *, times: int, patient: bool, say: Callable[[str], None]
) -> Report:
    """End a worker so many times; none is left afterwards.

    `patient` workers may wait longer than a job takes; others give the jobs back that have not ended by then.
    """
    drain_s = 20.0 if patient else 0.3
    settings = {"DRAIN_TIMEOUT_S": str(drain_s)}
    report = Report(run=f"drain, waiting up to {drain_s:g} s for jobs under way", on=judge.words)
    account, books, tally = make_account(place.conninfo), Books(place.conninfo), Tally()
    async with Client(place.url, account.key, tally) as client:
        gone_s: list[float] = []
        left = under_way = 0
        await place.start_workers(1, settings)
        for number in range(times):
            say(f"ending a worker, {number + 1} of {times}")
            # There are two, so that what one gives back is begun again at once.
            await place.start_workers(1, settings)
            for job in range(_JOBS):
                await client.hand_over(picture, f"job-{number}-{job}")
            pid = next(iter(place.workers))
            under_way += await _until_busy(books, pid)
            gone_s.append(await place.end_worker(pid, drain_s + 2 * _SLACK_S))
            left += len(await books.rows(_HELD, (pid,)))
        waited_s = await books.ended(within_s=180)
        report.tell("jobs under way when their worker was told to end", under_way)
        report.times("until the worker had gone", gone_s)
        report.below("longest until a worker had gone", max(gone_s), drain_s + _SLACK_S)
        report.exactly("jobs left behind with a lease", left, 0)
        report.exactly("leases that passed", await books.number(_LOST, (account.id,)), 0)
        back_s = [row[0] for row in await books.rows(_BACK, (account.id,))]
        if patient:
            report.exactly("jobs given back", len(back_s), 0)
        else:
            report.at_least("jobs given back", len(back_s), 1)
            report.times("from given back to begun again", back_s)
        report.tell("until the last job had ended", f"{waited_s:.1f} s")
        await books.jobs(report, account.id, list(tally.ids.values()))
        await books.charges(report, account.id)
    for pid in list(place.workers):
        await place.kill_worker(pid)
    return report


async def _until_busy(books: Books, pid: int) -> int:
    """Wait until a worker has as many jobs as it runs at once; how many it has."""
    until = time.monotonic() + _WITHIN_S
    while time.monotonic() < until:
        held = len(await books.rows(_HELD, (pid,)))
        if held >= _CONCURRENCY:
            return held
        await asyncio.sleep(_LOOK_S)
    raise ChaosError(f"the worker {pid} had no job for {_WITHIN_S:.0f} s")
