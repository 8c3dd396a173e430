"""What is measured, in Prometheus' format.

With several processes behind one port, a scrape reaches only one of them; `python -m gateway` then sets
PROMETHEUS_MULTIPROC_DIR, and the figures of all are added up from files in that folder.
"""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from bentos.contract import Modality
from gateway.settings import FIGURES_VARIABLE

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_INFERENCE_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The gateway's own figures, in a registry of their own so that several apps in a process do not collide."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "bonafide_http_request_seconds",
            "Time to answer, by route template.",
            ("method", "route", "status"),
            buckets=_REQUEST_BUCKETS,
            registry=self._registry,
        )
        self._detections = Counter(
            "bonafide_detections",
            "Detections by how they ended.",
            ("modality", "outcome"),
            registry=self._registry,
        )
        self._inference = Histogram(
            "bonafide_inference_seconds",
            "Time from asking a Bento to its answer.",
            ("modality",),
            buckets=_INFERENCE_BUCKETS,
            registry=self._registry,
        )
        self._running = Gauge(
            "bonafide_detections_in_flight",
            "Detections that a Bento is being asked for.",
            ("modality",),
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._streams = Gauge(
            "bonafide_live_streams",
            "Streams by which jobs are followed live.",
            ("kind",),
            registry=self._registry,
            multiprocess_mode="livesum",
        )

    @contextmanager
    def count_stream(self, kind: str) -> Generator[None]:
        """Count a live stream ("sse" or "websocket") as open while the context lasts."""
        streams = self._streams.labels(kind)
        streams.inc()
        try:
            yield
        finally:
            streams.dec()

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def count_detection(self, modality: Modality, outcome: str) -> None:
        """Count a detection that ended: "succeeded", or the code of the error."""
        self._detections.labels(modality.value, outcome).inc()

    @contextmanager
    def time_inference(self, modality: Modality) -> Generator[None]:
        """Time what happens inside, and count it as in flight meanwhile."""
        running = self._running.labels(modality.value)
        running.inc()
        start = time.perf_counter()
        try:
            yield
        finally:
            running.dec()
            self._inference.labels(modality.value).observe(time.perf_counter() - start)

    def exposition(self) -> bytes:
        """All figures as Prometheus reads them."""
        if os.environ.get(FIGURES_VARIABLE):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
            return generate_latest(registry)
        return generate_latest(self._registry)

    def close(self) -> None:
        """Take what this process says about the present out of the sum."""
        if os.environ.get(FIGURES_VARIABLE):
            mark_process_dead(os.getpid())
