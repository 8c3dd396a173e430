"""Counts of an account's detections, from the summary by day alone: what they cost does not grow with the history."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any, Final, LiteralString
from uuid import UUID

from bentos.contract import Modality
from gateway.db.engine import Pool
from gateway.errors import RequestError
from gateway.history.schemas import Counts, Interval, Period, StatsReport, StatsSummary, VerdictCounts

USUAL_DAYS: Final = 30
MOST_PERIODS: Final = 1100
_EARLIEST: Final = date(1970, 1, 1)
_LATEST: Final = date(9998, 12, 31)

_SUMS: Final[LiteralString] = """
    sum(succeeded), sum(failed), sum(fake), sum(verdict_real), sum(verdict_fake), sum(verdict_uncertain),
    sum(rated), sum(agreed)
"""
_STARTS: Final[dict[Interval, LiteralString]] = {
    Interval.DAY: "day",
    Interval.WEEK: "date_trunc('week', day)::date",
    Interval.MONTH: "date_trunc('month', day)::date",
    Interval.NONE: "NULL::date",
}
_REPORTS: Final[dict[Interval, LiteralString]] = {
    interval: f"""
        SELECT start, modality, {_SUMS}
        FROM (
            SELECT *, {start} AS start FROM detection_days
            WHERE account_id = %(account_id)s AND day BETWEEN %(since)s AND %(until)s
        ) AS counted
        GROUP BY GROUPING SETS ((), (modality), (start))
    """  # noqa: S608 - The inserted texts are constants.
    for interval, start in _STARTS.items()
}
"""One row in all, one for each modality, one for each period that is not empty."""
_SUMMARY: Final[LiteralString] = f"""
    SELECT {_SUMS} FROM detection_days WHERE account_id = %(account_id)s AND modality = ANY (%(modalities)s)
"""  # noqa: S608 - As above.


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of the columns of the same names, in the order in which they are selected."""

    succeeded: int = 0
    failed: int = 0
    fake: int = 0
    verdict_real: int = 0
    verdict_fake: int = 0
    verdict_uncertain: int = 0
    rated: int = 0
    agreed: int = 0

    @property
    def accuracy(self) -> float:
        """Percentage of what was rated where the verdict agreed, with two decimals; 0 where nothing was rated."""
        return round(100 * self.agreed / self.rated, 2) if self.rated else 0.0

    def counts(self) -> dict[str, Any]:
        """The fields of `Counts`."""
        return {
            "total": self.succeeded + self.failed,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "real": self.succeeded - self.fake,
            "fake": self.fake,
            "verdicts": VerdictCounts(real=self.verdict_real, fake=self.verdict_fake, uncertain=self.verdict_uncertain),
            "rated_count": self.rated,
            "agreed_count": self.agreed,
            "accuracy": self.accuracy,
        }


_NOTHING: Final = Sums()


class Stats:
    """Counts what accounts have had judged."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def report(
        self, account_id: UUID, *, since: date | None, until: date | None, interval: Interval
    ) -> StatsReport:
        """The counts of the days from `since` to `until` (today), both included; see `span` for what is not given.

        Raises:
            RequestError: The days are the wrong way round or out of range, or make too many periods.
        """
        since, until = span(since, until)
        starts = tuple(islice(periods(since, until, interval), MOST_PERIODS + 1))
        if len(starts) > MOST_PERIODS:
            raise RequestError(
                f"That makes more than {MOST_PERIODS} periods; ask for longer ones.", code="invalid_range"
            )
        parameters = {"account_id": account_id, "since": since, "until": until}
        async with self._pool.connection() as database:
            rows = await (await database.execute(_REPORTS[interval], parameters)).fetchall()
        total, by_modality, by_start = Sums(), dict[str, Sums](), dict[date, Sums]()
        for start, modality, *sums in rows:
            if modality is not None:
                by_modality[modality] = _read_sums(sums)
            elif start is not None:
                by_start[start] = _read_sums(sums)
            else:
                total = _read_sums(sums)
        return StatsReport(
            **total.counts(),
            since=since,
            until=until,
            interval=interval,
            modalities={Modality(name): Counts(**sums.counts()) for name, sums in sorted(by_modality.items())},
            series=tuple(Period(start=start, **by_start.get(start, _NOTHING).counts()) for start in starts),
        )

    async def summary(self, account_id: UUID, modalities: Collection[Modality] = tuple(Modality)) -> StatsSummary:
        """The counts of all of an account's verdicts in these modalities that are not in the bin."""
        parameters = {"account_id": account_id, "modalities": list(modalities)}
        async with self._pool.connection() as database:
            row = await (await database.execute(_SUMMARY, parameters)).fetchone()
        sums = _read_sums(row or ())
        return StatsSummary(
            total_detections=sums.succeeded,
            fake_count=sums.fake,
            real_count=sums.succeeded - sums.fake,
            accuracy=sums.accuracy,
            rated_count=sums.rated,
        )


def span(since: date | None, until: date | None) -> tuple[date, date]:
    """The days asked for: to today where no end is given, 30 of them where no start is. Raises RequestError."""
    usual = timedelta(days=USUAL_DAYS - 1)
    for day in (since, until):
        if day is not None and not _EARLIEST <= day <= _LATEST:
            raise RequestError(f"Days must lie between {_EARLIEST} and {_LATEST}.", code="invalid_range")
    today = datetime.now(UTC).date()
    if until is None:
        until = today if since is None else max(today, since)
    if since is None:
        since = max(until - usual, _EARLIEST)
    if since > until:
        raise RequestError("`from` must not lie after `to`.", code="invalid_range")
    return since, until


def periods(since: date, until: date, interval: Interval) -> Iterator[date]:
    """The first days of the periods that hold the days from `since` to `until`; none without an interval."""
    match interval:
        case Interval.NONE:
            return
        case Interval.DAY:
            start = since
        case Interval.WEEK:
            start = since - timedelta(days=since.weekday())
        case Interval.MONTH:
            start = since.replace(day=1)
    while start <= until:
        yield start
        if interval is Interval.MONTH:
            start = (start + timedelta(days=31)).replace(day=1)
        else:
            start += timedelta(days=7 if interval is Interval.WEEK else 1)


def _read_sums(sums: Sequence[int | None]) -> Sums:
    """Sums as they are selected: null where there was nothing to add up."""
    return Sums(*(value or 0 for value in sums))
