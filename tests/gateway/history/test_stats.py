"""Statistics: sums of the counts by day, cut into periods."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.db.engine import open_database
from gateway.errors import RequestError
from gateway.history.schemas import Interval, StatsSummary
from gateway.history.stats import Stats, Sums, periods, span
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import Client, make_account
from tests.fixtures.history import account_of, add_detection

TODAY = datetime.now(UTC).date()
COUNTS = ("total", "succeeded", "failed", "real", "fake")


async def fill(database: Any, key: str | None) -> None:
    account = await account_of(database, key)
    for values in (
        {},
        {"feedback": "real"},
        {"feedback": "fake", "age": timedelta(days=1)},
        {"feedback": "unsure", "age": timedelta(days=1)},
        {"verdict": "FAKE", "p_fake": 0.9, "modality": "video", "age": timedelta(days=1), "feedback": "fake"},
        {"verdict": "UNCERTAIN", "p_fake": 0.5, "modality": "video", "age": timedelta(days=40)},
        {"status": "failed", "modality": "audio"},
        {"status": "running"},
        {"deleted": True, "feedback": "fake"},
    ):
        await add_detection(database, account, **values)
    stranger = await account_of(database, await make_account(database, "other@example.org"))
    await add_detection(database, stranger, feedback="fake")


@pytest.mark.integration
async def test_the_last_30_days_are_counted_by_day_and_modality(client: Client, database: Any) -> None:
    await fill(database, client.key)
    answer = await client.get("/v1/stats")
    assert answer.status_code == 200, answer.text
    stats = answer.json()
    assert stats["from"] == (TODAY - timedelta(days=29)).isoformat()
    assert stats["to"] == TODAY.isoformat()
    assert stats["interval"] == "day"
    assert [stats[name] for name in COUNTS] == [6, 5, 1, 4, 1]
    assert stats["verdicts"] == {"REAL": 4, "FAKE": 1, "UNCERTAIN": 0}
    assert (stats["rated_count"], stats["agreed_count"], stats["accuracy"]) == (3, 2, 66.67)
    assert {name: one["total"] for name, one in stats["modalities"].items()} == {"audio": 1, "image": 4, "video": 1}
    assert stats["modalities"]["audio"]["failed"] == 1
    assert stats["modalities"]["video"]["accuracy"] == 100.0
    assert [one["start"] for one in stats["series"]] == [
        (TODAY - timedelta(days=days)).isoformat() for days in range(29, -1, -1)
    ]
    assert [one["total"] for one in stats["series"]] == [0] * 28 + [3, 3]
    assert stats["series"][-2]["accuracy"] == 50.0


@pytest.mark.integration
@pytest.mark.parametrize("interval", ["week", "month", "none"])
async def test_longer_periods_hold_the_same_in_all(client: Client, database: Any, interval: str) -> None:
    await fill(database, client.key)
    since = TODAY - timedelta(days=60)
    stats = (await client.get("/v1/stats", params={"from": since.isoformat(), "interval": interval})).json()
    assert [stats[name] for name in COUNTS] == [7, 6, 1, 4, 2]
    assert stats["verdicts"]["UNCERTAIN"] == 1
    if interval == "none":
        assert stats["series"] == []
    else:
        assert sum(one["total"] for one in stats["series"]) == 7
        assert stats["series"][0]["start"] <= since.isoformat()


@pytest.mark.integration
async def test_an_account_without_detections_has_zeros(client: Client) -> None:
    stats = (await client.get("/v1/stats?interval=none")).json()
    assert [stats[name] for name in COUNTS] == [0] * 5
    assert (stats["accuracy"], stats["modalities"]) == (0.0, {})


@pytest.mark.integration
@pytest.mark.parametrize(
    "query",
    [
        "from=2026-02-01&to=2026-01-31",
        "from=1969-12-31",
        "to=0001-01-01",
        "to=9999-12-31",
        "from=yesterday",
        "from=2026-02-30",
        "interval=hour",
        "from=2000-01-01&to=2026-01-01",
    ],
)
async def test_bad_days_are_400(client: Client, query: str) -> None:
    answer = await client.get(f"/v1/stats?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.integration
async def test_any_span_is_counted_without_a_series(client: Client, database: Any) -> None:
    await fill(database, client.key)
    stats = (await client.get("/v1/stats?from=1970-01-01&to=9998-12-31&interval=none")).json()
    assert stats["total"] == 7


@pytest.mark.integration
async def test_the_summary_counts_verdicts_ever(gateway_settings: GatewaySettings, database: Any) -> None:
    key = await make_account(database)
    account = await account_of(database, key)
    async with open_database(gateway_settings) as gateway_database:
        stats = Stats(gateway_database.pool)
        empty = StatsSummary(total_detections=0, fake_count=0, real_count=0, accuracy=0.0, rated_count=0)
        assert await stats.summary(account) == empty
        await fill(database, key)
        assert await stats.summary(account) == StatsSummary(
            total_detections=6, fake_count=2, real_count=4, accuracy=66.67, rated_count=3
        )


DAYS = st.dates(date(1970, 1, 1), date(9998, 12, 31))


@given(DAYS, st.integers(0, 400), st.sampled_from([Interval.DAY, Interval.WEEK, Interval.MONTH]))
def test_every_day_is_in_the_period_that_started_last(since: date, days: int, interval: Interval) -> None:
    until = min(since + timedelta(days=days), date(9998, 12, 31))
    starts = list(periods(since, until, interval))
    assert starts[0] <= since
    assert starts[-1] <= until
    for start, following in pairwise(starts):
        assert timedelta(0) < following - start <= timedelta(days=31)
    if interval is Interval.WEEK:
        assert {start.weekday() for start in starts} == {0}
    if interval is Interval.MONTH:
        assert {start.day for start in starts} == {1}


@given(st.none() | DAYS, st.none() | DAYS)
def test_a_span_is_in_order_or_refused(since: date | None, until: date | None) -> None:
    try:
        first, last = span(since, until)
    except RequestError:
        assert since is not None
        assert until is not None
        assert since > until
        return
    assert first <= last
    assert since in (None, first)
    assert until in (None, last)
    if since is None:
        assert (last - first).days <= 29


def test_accuracy_has_two_decimals() -> None:
    assert Sums(rated=3, agreed=1).accuracy == 33.33
    assert Sums().accuracy == 0.0
