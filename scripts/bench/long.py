"""Long videos: how time grows with the frames that are looked at, and whether memory stays flat meanwhile.

It runs a Triton and a video Bento of its own. What is measured is what a worker has of a job: a signed reference goes
in, lines of progress and the verdict come out.
"""

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

import aiohttp
import msgspec
import numpy as np

from bentos.contract import (
    DETECT_PATH,
    HEADER_PROGRESS,
    HEADER_REFERENCE,
    Detection,
    Line,
    Modality,
    Reference,
    VerdictLine,
    VideoEvidence,
    mint_reference,
)
from scripts.bench.errors import BenchError
from scripts.bench.long_films import make_minute, repeat
from scripts.bench.resources import cpu_seconds, pss_bytes, spent
from scripts.stack.ports import free_port
from scripts.stack.running import running
from scripts.stack.services import bento
from scripts.stack.sessions import sweep_shared_memory
from scripts.stack.settings import CHECKOUT, HOST, load_settings
from scripts.stack.triton import Triton, program

MINUTES: Final = (15, 30, 60, 120)
START_DEADLINE_S: Final = 120.0
MEGABYTE: Final = 1e6
WATCH_S: Final = 0.25
WARM_SHARE: Final = 0.2
"""Share of a run at its beginning that says nothing about the slope: processes start and caches fill."""
_TOKEN: Final = "made-up-token-of-the-measurement"  # noqa: S105 - Of processes that live as long as the bench.
_KEY: Final = "made-up-reference-key-of-the-measurement"
_LONGEST_LINE: Final = 16 * 1024 * 1024


class LongVideoFailedError(BenchError):
    """A long video was not judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRun:
    """One video: frames looked at, wall-clock and CPU seconds, and memory of Bento and decoding processes in MB.

    `slope_mb` is by how much the memory grew over the run by a straight line through all readings but the first fifth.
    """

    minutes: int
    frames: int
    seconds: float
    cpu_s: float
    peak_mb: float
    slope_mb: float
    lines: int


def measure_long(minutes: tuple[int, ...], *, seed: int, say: Callable[[str], None]) -> list[LongRun]:
    """Judge a video of each length, one after the other. Raises `BenchError` where one is not judged."""
    with tempfile.TemporaryDirectory(prefix="bonafide-bench-") as temporary:
        root = Path(temporary)
        spool = root / "spool"
        spool.mkdir()
        make_minute(root / "minute.mp4", seed=seed)
        with _video_bento(root, spool) as (url, groups):
            runs: list[LongRun] = []
            for length in (1, *minutes):
                film = spool / f"film-{length}"
                repeat(root / "minute.mp4", film, length)
                runs.append(asyncio.run(_judge(url, film, length, groups)))
                film.unlink()
                say(f"{length} min of video: {runs[-1].seconds:.1f} s for {runs[-1].frames} frames")
    # The first, a minute, has only started the decoding processes.
    return runs[1:]


def long_figures(runs: list[LongRun]) -> dict[str, float]:
    """The straight line through CPU seconds over frames, how well it fits, and the growth of memory."""
    frames = np.array([run.frames for run in runs], np.float64)
    cpu = np.array([run.cpu_s for run in runs])
    slope, start = np.polyfit(frames, cpu, 1)
    off = np.abs(cpu - (start + slope * frames)) / cpu
    longest = runs[-1]
    return {
        "long_cpu_ms_a_frame": 1000 * float(slope),
        "long_furthest_from_line": float(off.max()),
        "long_cost_a_frame_ratio": (longest.cpu_s / longest.frames) / (runs[0].cpu_s / runs[0].frames),
        "long_memory_mb": longest.slope_mb,
    }


async def _judge(url: str, film: Path, minutes: int, groups: Mapping[str, list[int]]) -> LongRun:
    reference = Reference(name=film.name, size=film.stat().st_size, long=True)  # noqa: ASYNC240 - Nothing else runs here.
    headers = {
        "authorization": f"Bearer {_TOKEN}",
        HEADER_PROGRESS: "1",
        HEADER_REFERENCE: mint_reference(reference, key=_KEY, lifetime=timedelta(hours=1)),
    }
    last: Line | None = None
    lines = 0
    before, started = cpu_seconds(groups), time.monotonic()
    with _MemoryCurve({"bento": groups["bento"]}) as memory:
        timeout = aiohttp.ClientTimeout(total=3600)
        async with (
            aiohttp.ClientSession(read_bufsize=_LONGEST_LINE, timeout=timeout) as session,
            session.post(url + DETECT_PATH, headers=headers) as response,
        ):
            if response.status != 200:  # noqa: PLR2004 - The status of success.
                raise LongVideoFailedError(await response.text())
            if response.content_type == "application/json":
                detection = msgspec.json.decode(await response.read(), type=Detection)
            else:
                async for line in response.content:
                    last, lines = msgspec.json.decode(line, type=Line), lines + 1
                if not isinstance(last, VerdictLine):
                    raise LongVideoFailedError(str(last))
                detection = msgspec.json.decode(last.detection, type=Detection)
    seconds = time.monotonic() - started
    if not isinstance(detection.evidence, VideoEvidence):
        raise LongVideoFailedError(str(detection.evidence))
    return LongRun(
        minutes=minutes,
        frames=detection.evidence.frames_sampled,
        seconds=seconds,
        cpu_s=sum(spent(before, cpu_seconds(groups)).values()),
        peak_mb=max(memory.readings) / MEGABYTE,
        slope_mb=memory.growth() / MEGABYTE,
        lines=lines,
    )


class _MemoryCurve:
    """Reads the PSS of processes in bytes from a thread, at even steps."""

    def __init__(self, groups: Mapping[str, list[int]]) -> None:
        self.readings: list[int] = []
        self._groups = groups
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-curve", daemon=True)

    def __enter__(self) -> Self:
        self.readings.append(self._read())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    def growth(self) -> float:
        """By how many bytes the memory grew, by a straight line through the readings after the first fifth."""
        steady = self.readings[round(len(self.readings) * WARM_SHARE) :]
        if len(steady) < 2:  # noqa: PLR2004 - A line needs two points.
            return 0.0
        slope, _ = np.polyfit(np.arange(len(steady)), np.array(steady, np.float64), 1)
        return float(slope) * len(steady)

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_S):
            self.readings.append(self._read())

    def _read(self) -> int:
        return sum(pss_bytes(self._groups).values())


@contextmanager
def _video_bento(root: Path, spool: Path) -> Generator[tuple[str, dict[str, list[int]]]]:
    """Run Triton and the video Bento until the block ends: the Bento's address, and the processes by group."""
    folder = root / "triton"
    folder.mkdir()
    triton = Triton(
        python=load_settings({}).triton_python,
        repository=CHECKOUT / "model_repository",
        folder=folder,
        http_port=free_port(),
        grpc_port=free_port(),
        metrics_port=free_port(),
        control_key="made-up-for-the-bench",
    )
    port = free_port()
    environment = os.environ | {
        "BONAFIDE_HOME": str(root),
        "BONAFIDE_SPOOL": str(spool),
        "BONAFIDE_BENTO_TOKEN": _TOKEN,
        "BONAFIDE_REFERENCE_KEY": _KEY,
        "BONAFIDE_TRITON_ADDRESS": triton.address,
        "BONAFIDE_MODEL_REPOSITORY": str(CHECKOUT / "model_repository"),
        "BENTOML_HOME": str(root / "bentoml"),
    }
    service = bento(Modality.VIDEO, port, environment, grace_s=10)
    try:
        with (
            running(
                program(triton, dict(os.environ)), log=folder / "log", run_id=root.name, deadline_s=START_DEADLINE_S
            ) as models,
            running(service, log=root / "bento.log", run_id=root.name, deadline_s=START_DEADLINE_S) as video,
        ):
            yield f"http://{HOST}:{port}", {"bento": [video.pid], "triton": [models.pid]}
    finally:
        sweep_shared_memory(triton.shared_memory_prefix)
