"""Figures of a Bento for Prometheus; every label takes its values from a fixed list."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bentos.contract import Modality, Timings

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

_STEPS: Final = ("queue", "decode", "faces", "inference", "total")
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class DetectionMetrics:
    """Counts detections by how they ended, and how long their steps took, in a registry of its own."""

    def __init__(self, modality: Modality) -> None:
        self._registry = CollectorRegistry()
        self._outcomes = Counter(
            "bonafide_bento_detections",
            "Detections by outcome: the verdict, or the code of the error.",
            ("modality", "outcome"),
            registry=self._registry,
        )
        seconds = Histogram(
            "bonafide_bento_step_seconds",
            "Wall-clock seconds of the steps of a detection.",
            ("modality", "step"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        waiting = Gauge(
            "bonafide_bento_calls_in_flight", "Calls that are not answered yet.", ("modality",), registry=self._registry
        )
        self._modality = modality
        self._steps = {step: seconds.labels(modality, step) for step in _STEPS}
        self._waiting = waiting.labels(modality)

    def count(self, outcome: str) -> None:
        """Count a detection that ended with this verdict or error code."""
        self._outcomes.labels(self._modality, outcome).inc()

    def observe(self, timings: Timings) -> None:
        """Record how long the steps of a detection took."""
        for step in _STEPS:
            self._steps[step].observe(getattr(timings, f"{step}_ms") / 1000)

    def set_in_flight(self, calls: int) -> None:
        """Record how many calls are not answered yet."""
        self._waiting.set(calls)

    def render(self) -> bytes:
        """Return all figures in Prometheus's text format."""
        return generate_latest(self._registry)
