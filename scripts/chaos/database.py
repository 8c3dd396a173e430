"""Cuts all sessions of Postgres every few seconds, while detections are asked for and jobs are handed over and done."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from scripts.chaos.clients import Client, Tally, make_account, repeat
from scripts.chaos.figures import Report
from scripts.chaos.grounds import Judge, platform
from scripts.chaos.ledger import Books

EVERY_S: Final = 5.0
BACK_S: Final = 3.0
_WORKERS: Final = 2
_DETECTING: Final = 4
_HANDING_OVER: Final = 2
_LOOK_S: Final = 0.05
_PAUSE_S: Final = 0.1
_LOOKED_AT: Final = "/v1/usage"
_INTERNAL: Final = 500

_CUT: Final = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def cut_the_database(
    folder: Path, judge: Judge, picture: bytes, *, seconds: float, say: Callable[[str], None]
) -> Report:
    """Cut for so many seconds, then see whether anything is missing or double, and what the API answered.

    Raises:
        ChaosError: A part did not start, or a call was not answered for minutes.
    """
    report = Report(run="database", on=judge.words)
    tally, looks = Tally(), Tally()
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(platform(folder, judge))
        account, books = make_account(place.conninfo), Books(place.conninfo)
        client = await stack.enter_async_context(Client(place.url, account.key, tally))
        looker = await stack.enter_async_context(Client(place.url, account.key, looks))
        await place.start_workers(_WORKERS)
        say(f"cutting all sessions every {EVERY_S:.0f} s for {seconds:.0f} s")
        until = time.monotonic() + seconds

        async def detect(number: int) -> None:
            await client.detect(picture, f"detection-{number}")
            await asyncio.sleep(_PAUSE_S)

        async def hand_over(number: int) -> None:
            await client.hand_over(picture, f"job-{number}")
            await asyncio.sleep(_PAUSE_S)

        async with asyncio.TaskGroup() as group:
            group.create_task(repeat(detect, callers=_DETECTING, until=lambda: time.monotonic() > until))
            group.create_task(repeat(hand_over, callers=_HANDING_OVER, until=lambda: time.monotonic() > until))
            cutting = group.create_task(_cut(books, looker, until))
        sessions, back_s = cutting.result()
        report.tell("waiting for the jobs that were open", f"{await books.ended(within_s=180):.1f} s")
        jobs = [found for name, found in tally.ids.items() if name.startswith("job-")]
        detections = [found for name, found in tally.ids.items() if name.startswith("detection-")]
        report.tell("cuts", len(sessions))
        report.at_least("sessions cut", sum(sessions), len(sessions))
        report.at_least("detections answered", len(detections), 1)
        report.at_least("jobs accepted", len(jobs), 1)
        report.tell("calls made again", tally.replays)
        report.tell("statuses", _statuses(tally, looks))
        report.exactly("answers with 500", tally.statuses[_INTERNAL] + looks.statuses[_INTERNAL], 0)
        report.exactly("503 without Retry-After", tally.without_retry_after + looks.without_retry_after, 0)
        report.exactly("connections broken off by the gateway", tally.broken_off + looks.broken_off, 0)
        report.tell("how they were broken off", dict(tally.how_broken + looks.how_broken) or "not at all")
        report.below("longest until all calls were answered again after a cut", max(back_s), BACK_S)
        report.exactly("idempotency keys that led to two things", len(tally.torn), 0)
        await books.jobs(report, account.id, jobs)
        await books.detections(report, account.id, detections)
        await books.charges(report, account.id)
    return report


async def _cut(books: Books, looker: Client, until: float) -> tuple[list[int], list[float]]:
    """Cut again and again; how many sessions each time, and how long after it the last call still failed."""
    sessions: list[int] = []
    back_s: list[float] = []
    while time.monotonic() < until:
        sessions.append(await books.number(_CUT))
        cut_at = failed_at = time.monotonic()
        while time.monotonic() < cut_at + EVERY_S:
            if not await looker.answers(_LOOKED_AT):
                failed_at = time.monotonic()
            await asyncio.sleep(_LOOK_S)
        back_s.append(failed_at - cut_at)
    return sessions, back_s


def _statuses(*tallies: Tally) -> str:
    total = sum((tally.statuses for tally in tallies), start=tallies[0].statuses.__class__())
    return ", ".join(f"{status}: {count:,}" for status, count in sorted(total.items()))
