"""The queue of jobs in Prometheus' format.

Workers have no address to be scraped at, and the database knows more than any of them: so each gateway tells it, from a
look at the database that is some seconds old at most.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Final

import sqlalchemy.exc
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.jobs.load import RECENT_MIN, Ended, QueueView, read_ended, read_queue

FRESH_S: Final = 5.0
_ASK_TIMEOUT_S: Final = 3.0
_QUANTILES: Final = ("0.5", "0.95")

_log = structlog.stdlib.get_logger(__name__)


class QueueFigures:
    """What is to be measured of the queue."""

    def __init__(self, engine: AsyncEngine, *, fresh_s: float = FRESH_S) -> None:
        self._engine = engine
        self._fresh_s = fresh_s
        self._asking = asyncio.Lock()
        self._told = b""
        self._asked_at = float("-inf")

    async def exposition(self) -> bytes:
        """The figures as Prometheus reads them; none while the database does not answer."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= self._fresh_s:
                self._told = await self._ask()
                self._asked_at = time.monotonic()
            return self._told

    async def _ask(self) -> bytes:
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                queue, ended = await read_queue(self._engine), await read_ended(self._engine)
        except (sqlalchemy.exc.SQLAlchemyError, TimeoutError) as error:
            _log.warning("queue_not_measured", reason=str(error))
            return b""
        registry = CollectorRegistry()
        registry.register(_Families([*_families(queue), *_ended_families(ended)]))
        return generate_latest(registry)


class _Families(Collector):
    """Figures that are known already: gauges of the library would go into the files that processes share."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(queue: QueueView) -> Iterator[Metric]:
    queued = GaugeMetricFamily("bonafide_jobs_queued", "Jobs that wait, by class.", labels=["priority"])
    due = GaugeMetricFamily("bonafide_jobs_due", "Jobs that wait and may run by now, by class.", labels=["priority"])
    oldest = GaugeMetricFamily(
        "bonafide_jobs_oldest_seconds", "For how long the oldest of those may have run.", labels=["priority"]
    )
    for one in queue.classes:
        queued.add_metric([one.priority], one.queued)
        due.add_metric([one.priority], one.due)
        oldest.add_metric([one.priority], one.oldest_s)
    yield from (queued, due, oldest)
    yield GaugeMetricFamily("bonafide_jobs_running", "Jobs that a worker has.", value=queue.running)
    yield GaugeMetricFamily(
        "bonafide_jobs_lapsed",
        "Jobs whose lease has passed and that nobody has taken back.",
        value=queue.lapsed,
    )
    yield GaugeMetricFamily("bonafide_jobs_dead", "Jobs that failed for good by our fault.", value=queue.dead)
    yield GaugeMetricFamily("bonafide_workers", "Workers that have beaten lately.", value=queue.workers)
    yield GaugeMetricFamily("bonafide_queue_paused", "1 while an admin lets no job begin.", value=int(queue.paused))


def _ended_families(ended: Iterable[Ended]) -> Iterator[Metric]:
    span = f"in the last {RECENT_MIN} minutes"
    labels = ["priority", "status"]
    count = GaugeMetricFamily("bonafide_jobs_ended_recently", f"Jobs that ended {span}.", labels=labels)
    waited = GaugeMetricFamily(
        "bonafide_job_wait_seconds", f"How long jobs that ended {span} had waited.", labels=[*labels, "quantile"]
    )
    ran = GaugeMetricFamily(
        "bonafide_job_run_seconds", f"How long jobs that ended {span} had run.", labels=[*labels, "quantile"]
    )
    for one in ended:
        of = [one.priority, one.status]
        count.add_metric(of, one.count)
        for family, values in ((waited, one.waited), (ran, one.ran)):
            for quantile, value in zip(_QUANTILES, values, strict=False):
                family.add_metric([*of, quantile], value)
    yield from (count, waited, ran)
