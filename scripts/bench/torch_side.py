"""Starts and measures the processes of the torch way; they need torch, this does not."""

import subprocess
import sys
from contextlib import ExitStack
from typing import IO, Final

import msgspec

from scripts.bench.errors import BenchError
from scripts.bench.figures import Round

READY: Final = "ready"


class TorchLoopError(BenchError):
    """A process of the torch way ended without a result."""


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: the class and folder of a classifier, its input's name and shape, rows of a batch, threads."""

    kind: str
    folder: str
    name: str
    shape: tuple[int, ...]
    batch: int
    threads: int
    seconds: float


class Looped(msgspec.Struct, frozen=True, kw_only=True):
    """How long each batch took, and what the process used of a processor over all of them, both in seconds."""

    latencies_s: tuple[float, ...]
    cpu_s: float


def measure_torch(loop: Loop, processes: int) -> Round:
    """One round of so many processes that begin together; every row of a batch counts as an answer.

    Raises:
        TorchLoopError: One of them ended without a result.
    """
    with ExitStack() as stack:
        loops = [stack.enter_context(_started(loop)) for _ in range(processes)]
        try:
            for each in loops:
                if _line(each.stdout).strip() != READY.encode():
                    raise TorchLoopError("a process of the torch way did not get ready")
            for each in loops:
                _tell(each, b"\n")
            found = [msgspec.json.decode(_line(each.stdout), type=Looped) for each in loops]
        finally:
            for each in loops:
                each.kill()
    latencies = tuple(took for one in found for took in one.latencies_s for _ in range(loop.batch))
    # The last batch of each ends after the time is up; with it counts how long it took.
    seconds = max(sum(one.latencies_s) for one in found)
    return Round(seconds=seconds, latencies_s=latencies, cpu_s={"torch": sum(one.cpu_s for one in found)})


def _started(loop: Loop) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "scripts.bench.torch_loop"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    _tell(process, msgspec.json.encode(loop) + b"\n")
    return process


def _tell(process: subprocess.Popen[bytes], line: bytes) -> None:
    if process.stdin is None:
        raise TorchLoopError("a process of the torch way has no input")
    try:
        process.stdin.write(line)
        process.stdin.flush()
    except BrokenPipeError as error:
        raise TorchLoopError("a process of the torch way ended early") from error


def _line(output: IO[bytes] | None) -> bytes:
    """The next line; a loop bounds its own time, so that a line or the end always comes."""
    line = output.readline() if output is not None else b""
    if not line:
        raise TorchLoopError("a process of the torch way ended without a result; run `make train-env`")
    return line
