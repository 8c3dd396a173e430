"""Versions come and go under load: rolled out, promoted and rolled back, one after the other, while callers ask.

Three versions of the image model, whose scores differ by known amounts, take turns on a Triton and an image Bento of
the run's own. So each answer tells by its score which version gave it, and must say so.
"""

import asyncio
import math
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import psutil

from bentos.contract import Modality
from scripts.bench.figures import percentile
from scripts.bench.keras_side import free_port
from scripts.chaos.callers import Answered, Called, Calling
from scripts.chaos.errors import ChaosError
from scripts.chaos.figures import Report
from scripts.chaos.grounds import folder_of_its_own, running_program
from scripts.chaos.variants import repository_of_versions
from scripts.models.errors import ModelsError
from scripts.models.repository import Repository
from scripts.models.rollout import Wish, point, point_back
from scripts.models.serving import Platform
from scripts.models.traffic import promoted, rolled_back, with_canary
from scripts.stack import services, triton
from scripts.stack.memory import pss
from scripts.stack.sessions import sweep_shared_memory
from scripts.stack.settings import CHECKOUT, HOST, load_settings
from scripts.stack.triton import Triton

MODEL: Final = "image_cnn"
SHIFTS: Final = {1: 0.0, 2: 1.0, 3: -1.0}
"""Log-odds that each version adds to what the first one answers."""
CANARY_PERCENT: Final = 30.0
MOST_P99_PERCENT: Final = 150.0
MOST_MEMORY_PERCENT: Final = 110.0
MOST_ROLLBACK_S: Final = 5.0
STEADY_S = 20.0
"""For how long callers ask before and after, with nothing else going on."""
REST_S = 3.0
"""For how long nobody asks before the memory is looked at."""

_TOLERANCE: Final = 1e-3
_MEBIBYTE: Final = 1024 * 1024
_DEADLINE_S: Final = 120.0
_GRACE_S: Final = 20.0
_TOKEN: Final = "made-up-bento-token-of-the-run-no-other-has"  # noqa: S105 - Of a Bento that nobody else reaches.


@dataclass(slots=True, kw_only=True)
class Turn:
    """What one round did: when the rollback began, from and to which version; and seconds of each step."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])
    rolled_back_at: float = 0.0
    rolled_back_from: int = 0
    until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The running parts, and the processes whose memory is looked at."""

    repository: Repository
    platform: Platform
    url: str
    pids: Sequence[int]

    def memory(self) -> int:
        """Proportional set size in bytes of all of them with their children."""
        families = [[psutil.Process(pid), *psutil.Process(pid).children(recursive=True)] for pid in self.pids]
        return sum(pss(process.pid) for family in families for process in family)


async def roll_versions(
    folder: Path, pictures: Sequence[Path], *, rounds: int, callers: int, say: Callable[[str], None]
) -> Report:
    """Do so many rounds of roll-out, promotion and rollback under so many callers.

    Raises:
        ChaosError: A part did not start, or a change was refused.
    """
    report = Report(run="Versions come and go", on="The image Bento before Triton, with three versions of a model.")
    async with _ground(folder) as ground:
        try:
            await _warm_up(ground, pictures, callers)
            steady = await _during(ground, pictures, callers, asyncio.sleep(STEADY_S))
            await asyncio.sleep(REST_S)
            before = ground.memory()
            turns: list[Turn] = []
            moving = await _during(ground, pictures, callers, _turns(ground, rounds, turns, say))
            await asyncio.sleep(REST_S)
            after = ground.memory()
            again = await _during(ground, pictures, callers, asyncio.sleep(STEADY_S))
        except ModelsError as error:
            raise ChaosError(str(error)) from error
        _judge(report, ground, turns, (steady, again), moving)
        report.tell("memory before (MiB)", before / _MEBIBYTE)
        report.tell("memory after (MiB)", after / _MEBIBYTE)
        report.at_most("memory after, % of before", round(100 * after / before, 1), MOST_MEMORY_PERCENT)
    return report


def _judge(
    report: Report, ground: Ground, turns: Sequence[Turn], steady: tuple[Called, Called], moving: Called
) -> None:
    """Note the figures of the calls."""
    every = [answer for called in (*steady, moving) for answer in called.answers]
    failed = [why for called in (*steady, moving) for why in called.failed]
    report.tell("rounds of a roll-out, a promotion and every other time a rollback", len(turns))
    report.tell("answers meanwhile", len(moving.answers))
    report.exactly("failed calls" + (f" ({failed[0]})" if failed else ""), len(failed), 0)
    report.exactly("versions that answered meanwhile", len({each.version for each in moving.answers}), len(SHIFTS))
    report.exactly("answers that are not those of the version that they name", len(_mistaken(ground, every)), 0)
    calm = [each.ended - each.began for called in steady for each in called.answers]
    busy = [each.ended - each.began for each in moving.answers]
    for what, seconds in (("steady", calm), ("meanwhile", busy)):
        report.tell(f"{what}: p50 (ms)", 1000 * percentile(seconds, 50))
        report.tell(f"{what}: p99 (ms)", 1000 * percentile(seconds, 99))
    share = 100 * percentile(busy, 99) / percentile(calm, 99)
    report.at_most("p99 meanwhile, % of steady", round(share, 1), MOST_P99_PERCENT)
    for step in ("rollout", "promote", "rollback"):
        report.times(f"seconds of a {step}", [turn.seconds[step] for turn in turns if step in turn.seconds])
    effects = [_effective(turn, moving.answers) for turn in turns if turn.rolled_back_from]
    report.below("rollback until the last call by the version taken back", max(effects, default=0.0), MOST_ROLLBACK_S)


def _mistaken(ground: Ground, answers: Sequence[Answered]) -> list[Answered]:
    """The answers whose score or digest is not that of the version that they name."""
    first = {each.picture: each.p_fake for each in answers if each.version == 1}
    digests = {version: ground.repository.card(MODEL, version).digest for version in SHIFTS}
    return [
        each
        for each in answers
        if digests.get(each.version) != each.digest
        or abs(_shifted(first[each.picture], SHIFTS[each.version]) - each.p_fake) > _TOLERANCE
    ]


def _shifted(p: float, shift: float) -> float:
    return 1 / (1 + math.exp(-(math.log(p / (1 - p)) + shift)))


def _effective(turn: Turn, answers: Sequence[Answered]) -> float:
    """Seconds from the beginning of a rollback until the last call was made that the version taken back answered."""
    late = [
        each.began - turn.rolled_back_at
        for each in answers
        if each.version == turn.rolled_back_from and turn.rolled_back_at <= each.began < turn.until
    ]
    return max(late, default=0.0)


async def _turns(ground: Ground, rounds: int, turns: list[Turn], say: Callable[[str], None]) -> None:
    for number in range(rounds):
        turn = Turn()
        route = ground.repository.route(MODEL)
        assert route is not None  # noqa: S101 - The ground has one.
        version = next(each for each in SHIFTS if each not in route.versions)
        await _timed(turn, ground, "rollout", version)
        await _timed(turn, ground, "promote", version)
        if number % 2:
            turn.rolled_back_from, turn.rolled_back_at = version, time.monotonic()
            await _timed(turn, ground, "rollback", route.stable)
            turn.until = time.monotonic()
        turns.append(turn)
        if (number + 1) % 10 == 0:
            say(f"{number + 1} of {rounds} rounds")


async def _timed(turn: Turn, ground: Ground, step: str, version: int) -> None:
    began = time.monotonic()
    if step == "rollout":
        wish = Wish(
            action="rollout",
            model=MODEL,
            version=version,
            route=lambda route: with_canary(MODEL, route, version, CANARY_PERCENT),
        )
        await point(ground.repository, ground.platform, wish)
    elif step == "promote":
        wish = Wish(action="promote", model=MODEL, version=version, route=lambda route: promoted(MODEL, route, version))
        await point(ground.repository, ground.platform, wish)
    else:
        wish = Wish(action="rollback", model=MODEL, version=version, route=lambda route: rolled_back(MODEL, route))
        await point_back(ground.repository, ground.platform, wish)
    turn.seconds[step] = time.monotonic() - began


async def _warm_up(ground: Ground, pictures: Sequence[Path], callers: int) -> None:
    """Have two versions loaded, as at the end of every round, and both and the Bento at their working size."""
    for step, version in (("promote", 2), ("rollback", 1)):
        await _timed(Turn(), ground, step, version)
        await _during(ground, pictures, callers, asyncio.sleep(STEADY_S / 2))


async def _during(ground: Ground, pictures: Sequence[Path], callers: int, work: Awaitable[None]) -> Called:
    """Have callers ask for as long as the work takes, and return what they noted.

    Raises:
        ChaosError: The callers failed.
        TimeoutError: They did not come to their end.
    """
    calling = Calling(url=ground.url, token=_TOKEN, pictures=tuple(map(str, pictures)), callers=callers)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.chaos.callers"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=CHECKOUT,
    )
    try:
        assert process.stdin is not None  # noqa: S101 - It is a pipe.
        process.stdin.write(msgspec.json.encode(calling) + b"\n")
        await process.stdin.drain()
        await work
        process.stdin.close()
        output, _ = await asyncio.wait_for(process.communicate(), _DEADLINE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ChaosError(f"The callers ended with status {process.returncode}.")
    return msgspec.json.decode(output, type=Called)


@asynccontextmanager
async def _ground(folder: Path) -> AsyncGenerator[Ground]:
    """Triton and the image Bento over a repository of three versions. Raises ChaosError where one does not start."""
    with folder_of_its_own(folder) as root:
        repository = repository_of_versions(root / "models", MODEL, SHIFTS)
        server = Triton(
            python=load_settings({}).triton_python,
            repository=repository.root,
            folder=root / "triton",
            http_port=free_port(),
            grpc_port=free_port(),
            metrics_port=free_port(),
            control_key=secrets.token_hex(16),
        )
        port = free_port()
        environment = {
            **os.environ,
            "BONAFIDE_HOME": str(root),
            "BONAFIDE_SPOOL": str(root / "spool"),
            "BONAFIDE_BENTO_TOKEN": _TOKEN,
            "BONAFIDE_REFERENCE_KEY": secrets.token_hex(32),
            "BONAFIDE_TRITON_ADDRESS": server.address,
            "BONAFIDE_MODEL_REPOSITORY": str(repository.root),
            "BENTOML_HOME": str(root / "bentoml"),
        }
        run_id = f"rollouts-{secrets.token_hex(8)}"
        try:
            async with (
                running_program(
                    triton.program(server, dict(os.environ)), log=root / "triton.log", run_id=run_id
                ) as first,
                running_program(
                    services.bento(Modality.IMAGE, port, environment, grace_s=_GRACE_S),
                    log=root / "bento.log",
                    run_id=run_id,
                ) as second,
            ):
                url = f"http://{HOST}:{port}"
                platform = Platform(
                    triton_address=server.address,
                    control_key=server.control_key,
                    bentos={Modality.IMAGE: url},
                    token=_TOKEN,
                )
                yield Ground(repository=repository, platform=platform, url=url, pids=(first.pid, second.pid))
        finally:
            sweep_shared_memory(server.shared_memory_prefix)
