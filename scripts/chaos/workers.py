"""Kills workers in the middle of jobs, again and again: each job ends once, and goes on soon after its lease."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, LiteralString
from uuid import UUID

from scripts.chaos.clients import Client, Tally, make_account
from scripts.chaos.figures import Report
from scripts.chaos.grounds import Judge, Platform, platform
from scripts.chaos.hooks import SETTINGS, hooked
from scripts.chaos.ledger import Books
from scripts.chaos.waiting import until

TAKEN_UP_S: Final = 2.0
_BUSY_S: Final = 10.0
_SEED: Final = 20_262

_HELD: Final[LiteralString] = """
    SELECT id, attempts, lease_until FROM jobs WHERE status = 'running' AND worker LIKE '%%:' || %s::text
"""
_BUSY_WORKERS: Final[LiteralString] = """
    SELECT DISTINCT split_part(worker, ':', 2) FROM jobs WHERE status = 'running'
"""
_TAKEN: Final[LiteralString] = """
    SELECT j.id, j.attempts, clock_timestamp() + make_interval(secs => %s) FROM procrastinate_jobs q
    JOIN jobs j ON j.ticket = q.id WHERE q.status = 'doing' AND j.status = 'queued'
"""
_GONE_ON: Final[LiteralString] = """
    SELECT extract(epoch FROM min(at) - %(lease_until)s)::float8 FROM job_events
    WHERE job_id = %(id)s AND kind = 'running' AND (data ->> 'attempt')::integer > %(attempts)s
"""


@dataclass(frozen=True, slots=True)
class Interruption:
    """A job that a worker had when it was killed: its attempts so far, and the end of its lease."""

    id: UUID
    attempts: int
    lease_until: datetime


async def kill_workers(
    folder: Path,
    judge: Judge,
    picture: bytes,
    *,
    jobs: int,
    kills: int,
    workers: int,
    lease_s: float,
    say: Callable[[str], None],
) -> Report:
    """Hand `jobs` over, kill one of `workers` so many times meanwhile, and look into the books.

    Raises:
        ChaosError: A part did not start, or jobs stayed open for minutes.
    """
    report, tally = Report(run="workers", on=judge.words), Tally()
    async with AsyncExitStack() as stack:
        settings = {**SETTINGS, "JOB_LEASE_S": str(lease_s), "WORKER_CONCURRENCY": "2"}
        place = await stack.enter_async_context(platform(folder, judge, settings=settings))
        account, books = make_account(place.conninfo), Books(place.conninfo)
        client = await stack.enter_async_context(Client(place.url, account.key, tally))
        hook = await stack.enter_async_context(hooked(client))
        await place.start_workers(workers)
        say(f"{jobs} jobs, {kills} kills of one of {workers} workers")
        began = time.monotonic()
        killer = _Killer(place, books, lease_s)
        await killer.kill(client, picture, jobs=jobs, kills=kills)
        await books.ended(within_s=300)
        report.tell("from the first job to the last", f"{time.monotonic() - began:.0f} s")
        report.tell("workers killed", kills)
        # Most find a job to interrupt; where none does, nothing was tried.
        report.at_least("jobs interrupted by that", len(killer.interrupted), kills // 3)
        report.tell("jobs taken from the queue and not yet begun then", len(killer.unbegun))
        await books.jobs(report, account.id, list(tally.ids.values()))
        await books.charges(report, account.id)
        await books.messages(report, account.id, jobs)
        await hook.delivered(report, books, account.id, jobs)
        for what, ones in (("begun again after the lease", killer.interrupted), ("taken anew", killer.unbegun)):
            late_s = [await _gone_on(books, one) for one in ones]
            report.times(f"interrupted jobs {what}", late_s)
            if late_s:
                report.below(f"longest until interrupted jobs were {what}", max(late_s), TAKEN_UP_S)
    return report


async def _gone_on(books: Books, one: Interruption) -> float:
    """Seconds between the end of the lease and the next attempt."""
    parameters = {"id": one.id, "attempts": one.attempts, "lease_until": one.lease_until}
    found = (await books.rows(_GONE_ON, parameters))[0][0]
    return float("inf") if found is None else found


class _Killer:
    """Hands jobs over and kills workers that have some, and starts others in their place."""

    def __init__(self, place: Platform, books: Books, lease_s: float) -> None:
        self._place = place
        self._books = books
        self._lease_s = lease_s
        self._chance = random.Random(_SEED)  # noqa: S311 - Whose end it is.
        self._busy: list[int] = []
        self.interrupted: list[Interruption] = []
        self.unbegun: list[Interruption] = []

    async def kill(self, client: Client, picture: bytes, *, jobs: int, kills: int) -> None:
        """Hand the jobs over in as many shares as there are kills; in the middle of each a worker dies."""
        for number in range(kills):
            share = range(jobs * number // kills, jobs * (number + 1) // kills)
            handing = asyncio.gather(*(client.hand_over(picture, f"job-{job}") for job in share))
            await until(self._some_are_busy, within_s=_BUSY_S)
            pid = self._chance.choice(self._busy or list(self._place.workers))
            await self._place.kill_worker(pid)
            self.interrupted += [Interruption(*row) for row in await self._books.rows(_HELD, (pid,))]
            self.unbegun += [Interruption(*row) for row in await self._books.rows(_TAKEN, (self._lease_s,))]
            await handing
            if number + 1 < kills:
                # The next one dies among as many: a job that nobody is there to go on with says nothing of the queue.
                await self._place.start_workers(1)

    async def _some_are_busy(self) -> bool:
        """Whether workers have jobs, and which."""
        found = {int(row[0]) for row in await self._books.rows(_BUSY_WORKERS)}
        self._busy = sorted(found & self._place.workers.keys())
        return bool(self._busy)
