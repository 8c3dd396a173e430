"""Kills the gateway while work is handed over: accepted jobs are there, and who asks again gets the same one."""

import asyncio
import functools
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, LiteralString

from scripts.chaos.clients import Client, Tally, make_account, repeat
from scripts.chaos.figures import Report
from scripts.chaos.grounds import Judge, platform
from scripts.chaos.ledger import Books
from scripts.chaos.waiting import until

_CALLERS: Final = 6
_WORKERS: Final = 2
_PROCESSES: Final = 2
_BETWEEN_S: Final = 1.0
_WITHIN_S: Final = 60.0
_SEED: Final = 20_264
_PAUSE_S: Final = 0.1
_INTERNAL: Final = 500

_MADE: Final[LiteralString] = "SELECT count(*) FROM jobs WHERE account_id = %s"


async def kill_gateways(
    folder: Path, judge: Judge, picture: bytes, *, kills: int, say: Callable[[str], None]
) -> Report:
    """Kill the gateway, all its processes at once, so many times under load.

    Raises:
        ChaosError: A part did not start, or a call was not answered for minutes.
    """
    report, tally = Report(run="gateway", on=judge.words), Tally()
    async with AsyncExitStack() as stack:
        settings = {"GATEWAY_WORKERS": str(_PROCESSES)}
        place = await stack.enter_async_context(platform(folder, judge, settings=settings))
        account, books = make_account(place.conninfo), Books(place.conninfo)
        client = await stack.enter_async_context(Client(place.url, account.key, tally))
        await place.start_workers(_WORKERS)
        finished = asyncio.Event()

        async def hand_over(number: int) -> None:
            await client.hand_over(picture, f"job-{number}", within_s=300)
            await asyncio.sleep(_PAUSE_S)

        async with asyncio.TaskGroup() as group:
            group.create_task(repeat(hand_over, callers=_CALLERS, until=finished.is_set))
            away_s: list[float] = []
            chance = random.Random(_SEED)  # noqa: S311 - In which moment.
            for number in range(kills):
                say(f"killing the gateway, {number + 1} of {kills}")
                # Work comes in again before the next kill, which then comes at any moment of it.
                wanted = len(tally.ids) + _CALLERS
                await until(functools.partial(_has, tally, wanted), within_s=_WITHIN_S)
                await asyncio.sleep(chance.uniform(0, _BETWEEN_S))
                killed_at = time.monotonic()
                await place.kill_gateway()
                await place.start_gateway()
                away_s.append(time.monotonic() - killed_at)
            finished.set()
        await books.ended(within_s=180)
        jobs = list(tally.ids.values())
        report.tell("kills", kills)
        report.times("until it was ready again", away_s)
        report.at_least("jobs accepted", len(jobs), 1)
        report.tell("calls broken off", tally.broken_off)
        report.tell("calls made again until they were answered", tally.replays)
        report.exactly("answers with 500", tally.statuses[_INTERNAL], 0)
        report.exactly("idempotency keys that led to two jobs", len(tally.torn), 0)
        report.exactly("jobs in the database", await books.number(_MADE, (account.id,)), len(jobs))
        await books.jobs(report, account.id, jobs)
        await books.charges(report, account.id)
    return report


async def _has(tally: Tally, wanted: int) -> bool:
    """Whether so many jobs have been accepted."""
    return len(tally.ids) >= wanted
