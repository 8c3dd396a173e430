"""Closed-loop load on one version in Triton: so many callers, each of whom asks again as soon as it is answered."""

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from bentos.deadline import Deadline
from bentos.errors import DetectionError
from bentos.triton import TritonClient

Numbered = tuple[str, int]

_CALL_DEADLINE_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """Calls answered within the window of `seconds`, by how long each took; how many failed, and why one did."""

    seconds: float
    latencies_s: tuple[float, ...]
    failed: int
    trouble: str = ""

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The nearest-rank percentile in milliseconds; without an answer the whole window, the least that it takes."""
        if not self.latencies_s:
            return 1000 * self.seconds
        rank = max(1, math.ceil(len(self.latencies_s) * percent / 100))
        return 1000 * sorted(self.latencies_s)[rank - 1]


async def press(
    address: str,
    version: Numbered,
    inputs: Mapping[str, NDArray[Any]],
    *,
    callers: int,
    seconds: float,
    warmup_s: float = 1.0,
) -> Pressed:
    """Have `callers` ask for one row of `inputs`, [n, …] by name, after the other; the first `warmup_s` do not count.

    A call that fails is counted and waits a moment, so that a model that refuses everything does not spin.
    """
    client = TritonClient(address)
    rows = len(next(iter(inputs.values())))
    latencies: list[float] = []
    failed, trouble = 0, ""
    begin = time.perf_counter() + warmup_s
    end = begin + seconds

    async def call(number: int) -> None:
        nonlocal failed, trouble
        row = number
        while (started := time.perf_counter()) < end:
            one = {name: values[row % rows : row % rows + 1] for name, values in inputs.items()}
            row += callers
            try:
                await client.infer(*version, one, Deadline.after(_CALL_DEADLINE_S))
            except DetectionError as error:
                trouble = str(error)
                failed += time.perf_counter() > begin
                await asyncio.sleep(0.1)
                continue
            if begin < time.perf_counter() <= end:
                latencies.append(time.perf_counter() - started)

    try:
        await asyncio.gather(*(call(number) for number in range(callers)))
    finally:
        await client.close()
    return Pressed(seconds=seconds, latencies_s=tuple(latencies), failed=failed, trouble=trouble)
