"""How many jobs a worker process does in a second when judging costs nothing: what the queue itself lets through."""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, LiteralString

from gateway.detections.fakes import Script
from scripts.chaos.clients import Client, Tally, each, make_account
from scripts.chaos.figures import Report
from scripts.chaos.grounds import platform
from scripts.chaos.judges import made_up_judge
from scripts.chaos.ledger import Books

WORKERS: Final = (1, 2)
_HANDING_OVER: Final = 8

_RATE: Final[LiteralString] = """
    SELECT count(*), extract(epoch FROM max(ended_at) - min(started_at))::float8 FROM jobs
    WHERE started_at > to_timestamp(%s)
"""


async def count_idle_jobs(folder: Path, picture: bytes, *, jobs: int, say: Callable[[str], None]) -> Report:
    """Hand jobs over while no worker runs, then let one, and then two, have them judged by who answers at once.

    Raises:
        ChaosError: A part did not start, or a job was not accepted.
    """
    async with AsyncExitStack() as stack:
        judge = await stack.enter_async_context(made_up_judge(folder, Script()))
        report, tally = Report(run="throughput", on=f"{judge.words} It answers at once."), Tally()
        place = await stack.enter_async_context(platform(folder, judge))
        account, books = make_account(place.conninfo), Books(place.conninfo)
        client = await stack.enter_async_context(Client(place.url, account.key, tally))
        for workers in WORKERS:
            say(f"{jobs} jobs for {workers} worker processes")
            began = time.monotonic()

            async def hand_over(number: int, workers: int = workers) -> None:
                await client.hand_over(picture, f"job-{workers}-{number}")

            await each(hand_over, jobs, callers=_HANDING_OVER)
            report.tell(f"jobs accepted a second, round {workers}", jobs / (time.monotonic() - began))
            started = time.time()
            await place.start_workers(workers)
            await books.ended(within_s=300)
            count, seconds = (await books.rows(_RATE, (started,)))[0]
            report.at_least(f"jobs done a second by {workers} worker processes", round(count / seconds, 1), 1)
            for pid in list(place.workers):
                await place.end_worker(pid, 60)
        await books.jobs(report, account.id, list(tally.ids.values()))
        await books.charges(report, account.id)
    return report
