"""Figures of a Bento for Prometheus; every label takes its values from a fixed list, or from the traffic table.

They are plain numbers that a collector renders when asked. The library's own metrics would be files for several
processes here, because BentoML asks for that, in a folder that every Bento empties as it starts.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bentos.contract import Figures, Modality, Timings
from bentos.version_metrics import version_metrics

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

_STEPS: Final = ("queue", "decode", "faces", "inference", "total")
_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Seconds:
    """How often something took how long, in the buckets of a Prometheus histogram."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_S) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one that took so long; a bucket holds what took as long as its bound or less."""
        self._counts[bisect_left(_BOUNDS_S, seconds)] += 1
        self._sum += seconds

    def add_to(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        """Put the counts, each with those of all shorter buckets as Prometheus wants them, into a family."""
        total, buckets = 0, list[tuple[str, float]]()
        for bound, count in zip((*map(str, _BOUNDS_S), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        family.add_metric(labels, buckets, self._sum)


class DetectionMetrics(Collector):
    """Counts detections by how they ended, and how long their steps took."""

    def __init__(self, modality: Modality, figures: Callable[[], Figures]) -> None:
        self._modality = modality
        self._figures = figures
        self._outcomes: Counter[str] = Counter()
        self._steps = {step: Seconds() for step in _STEPS}
        self._in_flight = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def count(self, outcome: str) -> None:
        """Count a detection that ended with this verdict or error code."""
        self._outcomes[outcome] += 1

    def observe(self, timings: Timings) -> None:
        """Record how long the steps of a detection took."""
        for step, seconds in self._steps.items():
            seconds.observe(getattr(timings, f"{step}_ms") / 1000)

    def set_in_flight(self, calls: int) -> None:
        """Record how many calls are not answered yet."""
        self._in_flight = calls

    def render(self) -> bytes:
        """Return all figures in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Give the figures as the registry wants them."""
        outcomes = CounterMetricFamily(
            "bonafide_bento_detections",
            "Detections by outcome: the verdict, or the code of the error.",
            labels=("modality", "outcome"),
        )
        for outcome, number in self._outcomes.items():
            outcomes.add_metric([self._modality, outcome], number)
        yield outcomes
        steps = HistogramMetricFamily(
            "bonafide_bento_step_seconds",
            "Wall-clock seconds of the steps of a detection.",
            labels=("modality", "step"),
        )
        for step, seconds in self._steps.items():
            seconds.add_to(steps, [self._modality, step])
        yield steps
        waiting = GaugeMetricFamily(
            "bonafide_bento_calls_in_flight", "Calls that are not answered yet.", labels=("modality",)
        )
        waiting.add_metric([self._modality], self._in_flight)
        yield waiting
        yield from version_metrics(self._modality, self._figures())
