"""Side (a): the bound. Processes that decode, find faces, crop and run the same ONNX in a loop, without any server.

They use the very functions and the very weights that Bonafide uses, so what differs is only the serving.
"""

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import onnxruntime as ort

from bentos.cards import CARD_FILE, CropInput, read_card, read_traffic
from bentos.contract import Modality
from bentos.media.image import prepare_image
from bentos.media.options import ImageOptions
from bentos.media.prepared import CropShape
from scripts.bench.errors import BenchError
from scripts.bench.figures import Round

PROCESSES: Final = 2
START_DEADLINE_S: Final = 120.0
WARMUP_S: Final = 1.0


class BareLoopError(BenchError):
    """A process of the loop ended without a result."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """The model that the loop runs: its ONNX file and the crop that it wants."""

    weights: str
    shape: CropShape


class Loop:
    """Decode, faces, crop, score: one picture at a time on one thread."""

    def __init__(self, served: Served) -> None:
        self.options = ImageOptions(shape=served.shape)
        session = ort.SessionOptions()
        session.intra_op_num_threads = session.inter_op_num_threads = 1
        self.session = ort.InferenceSession(served.weights, session, providers=["CPUExecutionProvider"])

    def score(self, jpeg: bytes) -> list[float]:
        """p_fake of every face in the picture, in [0, 1]."""
        prepared = prepare_image(jpeg, self.options)
        (scores,) = self.session.run(["p_fake"], {"crop": prepared.crops})
        return np.asarray(scores)[:, 0].tolist()


def served_image_model(repository: Path) -> Served:
    """The stable version of the default image model in the repository."""
    traffic = read_traffic((repository / "serving.json").read_bytes())
    name = traffic.defaults[Modality.IMAGE]
    folder = repository / name / str(traffic.models[name].stable)
    size = read_card((folder / CARD_FILE).read_bytes()).input
    if not isinstance(size, CropInput):
        raise BareLoopError(f"{name} takes no crops")
    shape = CropShape(height=size.height, width=size.width, resize_filter=size.resize_filter, margin=size.margin)
    return Served(weights=str(folder / "model.onnx"), shape=shape)


def measure_bare_loop(served: Served, pictures: Sequence[Path], seconds: float) -> Round:
    """One round: all processes start together and loop for `seconds`; throughput and CPU are those of all.

    Raises:
        BareLoopError: A process ended without a result.
    """
    context = multiprocessing.get_context("spawn")
    barrier: Barrier = context.Barrier(PROCESSES)
    files = [str(picture) for picture in pictures]
    workers: list[BaseProcess] = []
    answers: list[Connection] = []
    for number in range(PROCESSES):
        answer, theirs = context.Pipe(duplex=False)
        arguments = (served, files[number::PROCESSES], seconds, barrier, theirs)
        worker = context.Process(target=_work, args=arguments, daemon=True)
        worker.start()
        # With our copy closed, a process that dies ends the wait for its answer.
        theirs.close()
        workers.append(worker)
        answers.append(answer)
    try:
        found = [_receive(answer, START_DEADLINE_S + WARMUP_S + seconds) for answer in answers]
    finally:
        for worker, answer in zip(workers, answers, strict=True):
            worker.kill()
            worker.join()
            answer.close()
    latencies = tuple(latency for latencies, _ in found for latency in latencies)
    return Round(seconds=seconds, latencies_s=latencies, cpu_s={"loop": sum(cpu_s for _, cpu_s in found)})


def _receive(answer: Connection, deadline_s: float) -> tuple[list[float], float]:
    try:
        if answer.poll(deadline_s):
            return answer.recv()
    except EOFError as error:
        raise BareLoopError("a process of the bare loop ended without a result") from error
    raise BareLoopError(f"a process of the bare loop gave no result within {deadline_s:.0f} s")


def _work(served: Served, files: list[str], seconds: float, barrier: Barrier, answer: Connection) -> None:
    loop = Loop(served)
    pictures = [Path(file).read_bytes() for file in files]
    turn = 0
    barrier.wait(timeout=START_DEADLINE_S)
    warm = time.perf_counter() + WARMUP_S
    while time.perf_counter() < warm:
        loop.score(pictures[turn % len(pictures)])
        turn += 1
    barrier.wait(timeout=START_DEADLINE_S)
    latencies: list[float] = []
    cpu_before, ends = time.process_time(), time.perf_counter() + seconds
    while (began := time.perf_counter()) < ends:
        loop.score(pictures[turn % len(pictures)])
        latencies.append(time.perf_counter() - began)
        turn += 1
    answer.send((latencies, time.process_time() - cpu_before))
