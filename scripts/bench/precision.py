"""The precision part: a picture and a sound transformer in float32, half precision and int8, beside the torch way.

Ours are served by Triton and asked over gRPC by callers who wait for each answer; the torch way is a bare loop over
ready tensors in the best of several arrangements, which no server reaches. All take turns on the same cores.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from scripts.bench.errors import BenchError
from scripts.bench.figures import Round, Summary, median_ratio, summarise
from scripts.bench.resources import cpu_seconds, spent
from scripts.bench.torch_side import Loop, measure_torch
from scripts.models.pressing import press
from scripts.models.publish import read_golden
from scripts.stack.ports import free_ports
from scripts.stack.program import StartError
from scripts.stack.running import running
from scripts.stack.sessions import sweep_shared_memory
from scripts.stack.settings import load_environment, load_settings
from scripts.stack.triton import Triton, program

CALLERS: Final = 8
PRECISIONS: Final = {"fp32": 1, "fp16": 2, "int8": 3}
"""Versions of each network."""
ARRANGEMENTS: Final = ((1, 2, 1), (1, 2, 8), (2, 1, 1), (2, 1, 8))
"""Processes, threads of each and rows of a batch in which the torch way is tried."""
MAKE_DEADLINE_S: Final = 900.0
LOAD_DEADLINE_S: Final = 300.0

_SINGLE: Final = ", batch 1"
"""How the titles of arrangements end that take one row after the other."""
_KINDS: Final = {
    "vit_base": ("ViTForImageClassification", "pixel_values", (3, 224, 224)),
    "wav2vec2_base": ("Wav2Vec2ForSequenceClassification", "input_values", (32_000,)),
}
"""Class, input and its shape by network; `scripts.bench.precision_models` makes them."""


class PrecisionError(BenchError):
    """The networks could not be made, or calls failed."""


def measure_precision(
    folder: Path, *, seconds: float, rounds: int, say: Callable[[str], None]
) -> tuple[list[Summary], dict[str, float]]:
    """Rounds of all sides of both networks in turn, as summaries and as ratios to the best torch arrangement.

    Raises:
        PrecisionError: The networks could not be made, or a call failed.
    """
    say("making the networks, where they are not there yet")
    _make(folder)
    sides: dict[str, dict[str, list[Round]]] = {name: {} for name in _KINDS}
    with _serving(folder) as (triton, pid):
        for turn in range(rounds):
            for name, found in sides.items():
                for precision, version in PRECISIONS.items():
                    one = _measure_ours(triton, pid, folder / "models", (name, version), seconds)
                    found.setdefault(precision, []).append(one)
                for arrangement in ARRANGEMENTS:
                    one = _measure_torch(folder, name, arrangement, seconds)
                    found.setdefault(_title(arrangement), []).append(one)
                rates = ", ".join(f"{side} {each[-1].throughput:.1f}/s" for side, each in found.items())
                say(f"round {turn + 1} of {rounds}, {name}: {rates}")
    summaries: list[Summary] = []
    figures: dict[str, float] = {}
    for name, found in sides.items():
        summaries += [
            summarise(f"{name}, {side}", CALLERS if side in PRECISIONS else 0, each) for side, each in found.items()
        ]
        figures |= {f"{name}_{key}": value for key, value in ratios(found).items()}
    return summaries, figures


def ratios(sides: dict[str, list[Round]]) -> dict[str, float]:
    """Throughput of each precision over the best torch arrangement, and of fp16 and int8 over float32.

    "int8/torch one by one" is over the best arrangement that takes each request as it comes, as a server without a
    batcher does. The best arrangement is that with the highest median; ratios are taken between rounds next to each
    other in time. "cpu torch/…" compares processor time an answer, the least over all rounds: it moves less than the
    others when somebody else uses the machine.
    """
    torch = {side: rounds for side, rounds in sides.items() if side not in PRECISIONS}
    best = _best(torch.values())
    figures = {f"{precision}/torch": median_ratio(sides[precision], best) for precision in PRECISIONS}
    one_by_one = _best(rounds for side, rounds in torch.items() if side.endswith(_SINGLE))
    figures["int8/torch one by one"] = median_ratio(sides["int8"], one_by_one)
    cost = {
        side: min(sum(each.cpu_s.values()) / len(each.latencies_s) for each in rounds) for side, rounds in sides.items()
    }
    figures |= {
        f"cpu torch/{precision}": min(cost[side] for side in torch) / cost[precision] for precision in PRECISIONS
    }
    return figures | {f"{each}/fp32": median_ratio(sides[each], sides["fp32"]) for each in ("fp16", "int8")}


def _best(sides: Iterable[list[Round]]) -> list[Round]:
    return max(sides, key=lambda rounds: float(np.median([each.throughput for each in rounds])))


def _title(arrangement: tuple[int, int, int]) -> str:
    processes, threads, batch = arrangement
    return f"torch, {processes} x {threads} threads, batch {batch}"


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "scripts.bench.precision_models", str(folder)]
    with (folder / "make.log").open("wb") as log:
        try:
            done = subprocess.run(command, stdout=log, stderr=log, timeout=MAKE_DEADLINE_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise PrecisionError(f"the networks took longer than {MAKE_DEADLINE_S:.0f} s to make") from error
    if done.returncode:
        raise PrecisionError(f"the networks could not be made; see {folder / 'make.log'}, and run `make train-env`")


@contextmanager
def _serving(folder: Path) -> Generator[tuple[Triton, int]]:
    """Run a Triton with all versions until the block ends; give it and the id of its process."""
    http, grpc, metrics = free_ports(3)
    triton = Triton(
        python=load_settings({}).triton_python,
        repository=folder / "models",
        folder=folder / "triton",
        http_port=http,
        grpc_port=grpc,
        metrics_port=metrics,
        control_key=os.urandom(16).hex(),
    )
    server = program(triton, load_environment(), load_deadline_s=LOAD_DEADLINE_S)
    try:
        with running(server, log=folder / "triton.log", run_id="bench", deadline_s=LOAD_DEADLINE_S) as process:
            yield triton, process.pid
    except StartError as error:
        raise PrecisionError(f"Triton did not start with the networks: {error}") from error
    finally:
        sweep_shared_memory(triton.shared_memory_prefix)


def _measure_ours(triton: Triton, pid: int, models: Path, version: tuple[str, int], seconds: float) -> Round:
    inputs = read_golden(models, *version)[0]
    groups = {"triton": [pid]}
    before = cpu_seconds(groups)
    warmup_s = 1.0
    pressed = asyncio.run(press(triton.address, version, inputs, callers=CALLERS, seconds=seconds, warmup_s=warmup_s))
    used = spent(before, cpu_seconds(groups))
    if pressed.failed or not pressed.latencies_s:
        raise PrecisionError(f"{pressed.failed} calls of {version[0]} failed, {len(pressed.latencies_s)} did not")
    # What Triton used while it was warming up is taken out by the share of the time.
    share = seconds / (seconds + warmup_s)
    return Round(
        seconds=seconds,
        latencies_s=pressed.latencies_s,
        cpu_s={name: value * share for name, value in used.items()},
    )


def _measure_torch(folder: Path, name: str, arrangement: tuple[int, int, int], seconds: float) -> Round:
    kind, ends, shape = _KINDS[name]
    processes, threads, batch = arrangement
    loop = Loop(
        kind=kind,
        folder=str(folder / "sources" / name),
        name=ends,
        shape=shape,
        batch=batch,
        threads=threads,
        seconds=seconds,
    )
    return measure_torch(loop, processes)
