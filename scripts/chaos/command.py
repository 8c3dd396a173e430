"""The command behind `make chaos`: reads its options, runs, prints the figures, and fails where a bound was broken."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from scripts.chaos.errors import ChaosError
from scripts.chaos.figures import render
from scripts.chaos.run import Options, Part, run

EXIT_FAILED: Final = 1
EXIT_BROKEN: Final = 3

_LONG: Final = Options()


def chaos_command(
    only: Annotated[list[Part] | None, typer.Option(help="Do this run alone; may be repeated.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Jobs that are done while workers are killed.")] = _LONG.jobs,
    kills: Annotated[int, typer.Option(min=1, help="Workers killed meanwhile.")] = _LONG.kills,
    workers: Annotated[int, typer.Option(min=2, help="Workers that run at once then.")] = _LONG.workers,
    lease: Annotated[float, typer.Option(min=2, help="Lease of their jobs, in seconds.")] = _LONG.lease_s,
    stops: Annotated[int, typer.Option(min=1, help="Workers stopped past their lease.")] = _LONG.stops,
    gateway_kills: Annotated[int, typer.Option(min=1, help="Kills of the gateway.")] = _LONG.gateway_kills,
    seconds: Annotated[float, typer.Option(min=5, help="For how long the database is cut off.")] = _LONG.cutting_s,
    waiting: Annotated[int, typer.Option(min=1000, help="Jobs that wait in the queue.")] = _LONG.waiting,
    claims: Annotated[int, typer.Option(min=100, help="Claims for each number of claimers.")] = _LONG.claims,
    idle_jobs: Annotated[int, typer.Option(min=10, help="Jobs whose judging costs nothing.")] = _LONG.idle_jobs,
    told_jobs: Annotated[int, typer.Option(min=10, help="Jobs whose webhooks are timed.")] = _LONG.told_jobs,
    drains: Annotated[int, typer.Option(min=1, help="Workers ended in the middle of jobs.")] = _LONG.drains,
    rollouts: Annotated[int, typer.Option(min=2, help="Rounds in which versions come and go.")] = _LONG.rollouts,
    callers: Annotated[int, typer.Option(min=1, help="Callers that ask meanwhile.")] = _LONG.callers,
    folder: Annotated[Path, typer.Option(help="Where the runs keep their state.")] = _LONG.folder,
) -> None:
    """Kill, stop and cut off parts of a platform under load, and count what was lost, doubled or late.

    Every run starts real parts of its own, in its own folder and on free ports. Exits with 3 where a bound was broken.
    """
    console = Console(stderr=True)
    options = Options(
        parts=tuple(only or Part),
        jobs=jobs,
        kills=kills,
        workers=workers,
        lease_s=lease,
        stops=stops,
        gateway_kills=gateway_kills,
        cutting_s=seconds,
        waiting=waiting,
        claims=claims,
        idle_jobs=idle_jobs,
        told_jobs=told_jobs,
        drains=drains,
        rollouts=rollouts,
        callers=callers,
        folder=folder.resolve(),
    )
    # Ended as Ctrl-C ends it, it takes with it what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        reports = asyncio.run(run(options, lambda text: console.print(text, highlight=False)))
    except ChaosError as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        raise typer.Exit(EXIT_FAILED) from error
    print(render(reports))
    if not all(report.kept for report in reports):
        raise typer.Exit(EXIT_BROKEN)
