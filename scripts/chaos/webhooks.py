"""How soon a receiver is told that a job has ended, while every lane of the worker is taken by jobs that take long."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, LiteralString

from gateway.detections.fakes import Script
from scripts.chaos.clients import Client, Tally, each, make_account
from scripts.chaos.figures import Report
from scripts.chaos.grounds import platform
from scripts.chaos.hooks import SETTINGS, hooked
from scripts.chaos.judges import made_up_judge
from scripts.chaos.ledger import Books

SOON_S: Final = 0.5
_CONCURRENCY: Final = 4
_HANDING_OVER: Final = 4
_LONG_S: Final = (1.0, 3.0)
_SEED: Final = 20_263
_LOOK_S: Final = 0.25

_BUSY: Final[LiteralString] = """
    SELECT count(*) FILTER (WHERE status = 'running'), count(*) FILTER (WHERE status = 'queued') FROM jobs
"""


async def time_webhooks(folder: Path, picture: bytes, *, jobs: int, say: Callable[[str], None]) -> Report:
    """Have jobs done that take seconds each, more of them than there are places, and time the webhooks of their ends.

    Raises:
        ChaosError: A part did not start, or a job was not accepted.
    """
    script = Script()
    async with AsyncExitStack() as stack:
        judge = await stack.enter_async_context(made_up_judge(folder, script))
        report, tally = Report(run="webhooks", on=judge.words), Tally()
        settings = {**SETTINGS, "WORKER_CONCURRENCY": str(_CONCURRENCY)}
        place = await stack.enter_async_context(platform(folder, judge, settings=settings))
        account, books = make_account(place.conninfo), Books(place.conninfo)
        client = await stack.enter_async_context(Client(place.url, account.key, tally))
        hook = await stack.enter_async_context(hooked(client))
        await place.start_workers(1)
        say(f"{jobs} jobs of {_LONG_S[0]:g} to {_LONG_S[1]:g} s for one worker")
        await each(lambda number: client.hand_over(picture, f"job-{number}"), jobs, callers=_HANDING_OVER)
        busy = await _watch(books, script)
        await hook.delivered(report, books, account.id, jobs)
        await books.jobs(report, account.id, list(tally.ids.values()))
        await books.messages(report, account.id, jobs)
        report.tell("jobs under way at once while others waited: median", sorted(busy)[len(busy) // 2])
        report.times(
            "from a job's end to the first byte at the receiver",
            await hook.seconds_after_end(books, account.id),
            p95_s=SOON_S,
        )
    return report


async def _watch(books: Books, script: Script) -> list[int]:
    """Vary how long the judge takes until all jobs have ended; how many were under way while others waited."""
    chance = random.Random(_SEED)  # noqa: S311 - How long a made-up judgement takes.
    busy: list[int] = []
    while True:
        script.delay_s = chance.uniform(*_LONG_S)
        running, queued = (await books.rows(_BUSY))[0]
        if running + queued == 0:
            return busy or [0]
        if queued:
            busy.append(running)
        await asyncio.sleep(_LOOK_S)
