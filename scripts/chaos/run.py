"""All runs, one after the other, in their long form or in that of the options."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from gateway.detections.fakes import Script
from scripts.chaos.database import cut_the_database
from scripts.chaos.drain import drain_workers
from scripts.chaos.errors import ChaosError
from scripts.chaos.figures import Report
from scripts.chaos.gateways import kill_gateways
from scripts.chaos.grounds import Judge
from scripts.chaos.idle_jobs import count_idle_jobs
from scripts.chaos.judges import made_up_judge, real_judge
from scripts.chaos.late import write_late
from scripts.chaos.queue import measure_queue
from scripts.chaos.rollouts import roll_versions
from scripts.chaos.webhooks import time_webhooks
from scripts.chaos.workers import kill_workers
from scripts.stack.settings import CHECKOUT

PICTURE: Final = CHECKOUT / "scripts" / "demo" / "media" / "genuine.jpg"
PICTURES: Final = (PICTURE, PICTURE.with_name("forged.jpg"))
SLOW_S: Final = 1.0
"""How long a made-up judgement takes where a worker has to be caught in the middle of it."""


class Part(StrEnum):
    """What can be run by itself."""

    WORKERS = "workers"
    LATE = "late"
    GATEWAY = "gateway"
    DATABASE = "database"
    QUEUE = "queue"
    THROUGHPUT = "throughput"
    WEBHOOKS = "webhooks"
    DRAIN = "drain"
    ROLLOUTS = "rollouts"


ON_A_REAL_JUDGE: Final = frozenset({Part.WORKERS, Part.GATEWAY, Part.DATABASE})
"""The runs in which the image Bento before Triton judges. The others need jobs of a length of their own choosing."""
ALONE: Final = frozenset({Part.QUEUE, Part.THROUGHPUT, Part.WEBHOOKS, Part.ROLLOUTS})
"""The runs that bring everything that they need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to run, how often and for how long; times in seconds."""

    parts: tuple[Part, ...] = tuple(Part)
    jobs: int = 500
    kills: int = 100
    workers: int = 4
    lease_s: float = 5.0
    stops: int = 20
    gateway_kills: int = 20
    cutting_s: float = 60.0
    waiting: int = 100_000
    claims: int = 2000
    idle_jobs: int = 1000
    told_jobs: int = 100
    drains: int = 5
    rollouts: int = 50
    callers: int = 16
    folder: Path = CHECKOUT / ".chaos"


async def run(options: Options, say: Callable[[str], None], judge: Judge | None = None) -> list[Report]:
    """Do the runs asked for; `judge` is a real one that runs already. Raises ChaosError where one cannot be done."""
    reports: list[Report] = []
    async with AsyncExitStack() as stack:
        if judge is None and ON_A_REAL_JUDGE & set(options.parts):
            say("starting Triton and the image Bento")
            judge = await stack.enter_async_context(real_judge(options.folder))
        for part in options.parts:
            say(f"--- {part}")
            try:
                found = await _run_part(part, options, judge, say)
            except ExceptionGroup as group:
                ours, others = group.split(ChaosError)
                if ours is None or others is not None:
                    raise
                raise ChaosError("; ".join(str(one) for one in ours.exceptions)) from group
            for report in found:
                say("every bound was kept" if report.kept else f"broken: {report.broken}")
                reports.append(report)
    return reports


async def _run_part(part: Part, options: Options, judge: Judge | None, say: Callable[[str], None]) -> list[Report]:
    folder, picture = options.folder, PICTURE.read_bytes()
    if part in ALONE:
        return [await _run_alone(part, options, picture, say)]
    if part in ON_A_REAL_JUDGE and judge is not None:
        return [await _run_on(judge, part, options, picture, say)]
    async with made_up_judge(folder, Script(delay_s=SLOW_S)) as slow:
        if part is Part.LATE:
            return [await write_late(folder, slow, picture, times=options.stops, say=say)]
        return await drain_workers(folder, slow, picture, times=options.drains, say=say)


async def _run_alone(part: Part, options: Options, picture: bytes, say: Callable[[str], None]) -> Report:
    folder = options.folder
    if part is Part.QUEUE:
        return await measure_queue(folder, waiting=options.waiting, claims=options.claims, say=say)
    if part is Part.THROUGHPUT:
        return await count_idle_jobs(folder, picture, jobs=options.idle_jobs, say=say)
    if part is Part.WEBHOOKS:
        return await time_webhooks(folder, picture, jobs=options.told_jobs, say=say)
    return await roll_versions(folder, PICTURES, rounds=options.rollouts, callers=options.callers, say=say)


async def _run_on(judge: Judge, part: Part, options: Options, picture: bytes, say: Callable[[str], None]) -> Report:
    folder = options.folder
    if part is Part.GATEWAY:
        return await kill_gateways(folder, judge, picture, kills=options.gateway_kills, say=say)
    if part is Part.DATABASE:
        return await cut_the_database(folder, judge, picture, seconds=options.cutting_s, say=say)
    return await kill_workers(
        folder,
        judge,
        picture,
        jobs=options.jobs,
        kills=options.kills,
        workers=options.workers,
        lease_s=options.lease_s,
        say=say,
    )
