"""Percentiles, medians over rounds and ratios: what the bench makes of its samples. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One measuring window of one side: latencies in seconds of the `seconds` that it was watched.

    `cpu_s` are the CPU seconds that the side's processes used in the window, by process group; `generator_cpu_s`
    those of the load generator, which belong to no side; `mean_batch` is Triton's, where the side has one.
    """

    seconds: float
    latencies_s: tuple[float, ...]
    cpu_s: dict[str, float]
    generator_cpu_s: float = 0.0
    failed: int = 0
    mean_batch: float | None = None
    steps_ms: dict[str, float] | None = None

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Medians over the rounds of one side at one number of callers; CPU in milliseconds a request."""

    side: str
    callers: int
    rounds: int
    requests: int
    failed: int
    throughput: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms: float
    cpu_ms_by_group: dict[str, float]
    generator_cpu_ms: float
    mean_batch: float | None
    steps_ms: dict[str, float]


def percentile(samples: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest sample with at least `percent` of all at or below it.

    It is always a latency that somebody waited; with few samples the high percentiles are the slowest one.

    Raises:
        ValueError: There are no samples, or `percent` is outside (0, 100].
    """
    if not samples:
        raise ValueError("no samples")
    if not 0 < percent <= 100:  # noqa: PLR2004 - percent
        raise ValueError(f"{percent} is not in (0, 100]")
    return sorted(samples)[math.ceil(len(samples) * percent / 100) - 1]


def summarise(side: str, callers: int, rounds: Sequence[Round]) -> Summary:
    """Medians over rounds, so that one round disturbed by the machine moves nothing.

    Raises:
        ValueError: There are no rounds, or none of them had an answer.
    """
    answered = [each for each in rounds if each.latencies_s]
    if not answered:
        raise ValueError(f"{side} gave no answer at {callers} callers")
    batches = [each.mean_batch for each in answered if each.mean_batch is not None]
    groups = sorted({group for each in answered for group in each.cpu_s})
    steps = sorted({step for each in answered for step in each.steps_ms or {}})

    def middle(values: list[float]) -> float:
        return float(median(values))

    def milliseconds(percent: float) -> float:
        return middle([1000 * percentile(each.latencies_s, percent) for each in answered])

    return Summary(
        side=side,
        callers=callers,
        rounds=len(rounds),
        requests=sum(len(each.latencies_s) for each in rounds),
        failed=sum(each.failed for each in rounds),
        throughput=middle([each.throughput for each in rounds]),
        p50_ms=milliseconds(50),
        p95_ms=milliseconds(95),
        p99_ms=milliseconds(99),
        cpu_ms=middle([1000 * sum(each.cpu_s.values()) / len(each.latencies_s) for each in answered]),
        cpu_ms_by_group={
            group: middle([1000 * each.cpu_s.get(group, 0.0) / len(each.latencies_s) for each in answered])
            for group in groups
        },
        generator_cpu_ms=middle([1000 * each.generator_cpu_s / len(each.latencies_s) for each in answered]),
        mean_batch=middle(batches) if batches else None,
        steps_ms={step: middle([each.steps_ms[step] for each in answered if each.steps_ms]) for step in steps},
    )


def median_ratio(over: Sequence[Round], under: Sequence[Round]) -> float:
    """Median of the throughput ratios of rounds measured next to each other in time.

    Pairing takes out what a shared machine does between the first round and the last.

    Raises:
        ValueError: The two sides have different numbers of rounds, or none.
        ZeroDivisionError: A round of `under` had no answer.
    """
    return float(median(one.throughput / other.throughput for one, other in zip(over, under, strict=True)))
