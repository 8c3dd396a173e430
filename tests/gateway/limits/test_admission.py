"""What the function `admit` lets pass of an account, limit by limit."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.db.engine import open_database
from gateway.detections.admission import Admission
from gateway.detections.orders import Refused
from gateway.settings import GatewaySettings
from tests.fixtures.admissions import (
    Clock,
    Holder,
    admit,
    ask,
    fail,
    order,
    outcomes,
    verdict,
)

pytestmark = pytest.mark.integration

NOON = datetime(2030, 6, 15, 12, tzinfo=UTC)
MIDNIGHT = datetime(2030, 6, 16, tzinfo=UTC)


async def test_without_limits_everything_passes(admission: Admission, holder: Holder) -> None:
    assert await outcomes(admission, holder, 150) == ["admitted"] * 150
    assert (await holder.meter())[1:] == (150, 1500, 150)


# The day.


async def test_the_daily_limit_holds_until_midnight_utc(admission: Admission, holder: Holder, clock: Clock) -> None:
    await holder.set_account(daily_limit=3)
    assert await outcomes(admission, holder, 5) == ["admitted"] * 3 + ["quota_exceeded"] * 2
    await clock.stop_at(MIDNIGHT - timedelta(microseconds=1))
    refused = await admission.admit(order(holder), lifetime_s=60)
    assert isinstance(refused, Refused)
    assert (refused.error.code, refused.error.retry_after_s) == ("quota_exceeded", 1)
    await clock.stop_at(MIDNIGHT)
    assert await outcomes(admission, holder, 5) == ["admitted"] * 3 + ["quota_exceeded"] * 2
    assert await holder.meter() == (MIDNIGHT.date(), 3, 30, 6)


async def test_a_limit_of_nothing_lets_nothing_pass(admission: Admission, holder: Holder) -> None:
    await holder.set_account(daily_limit=0)
    assert await ask(admission, order(holder)) == "quota_exceeded"


async def test_a_free_repetition_passes_on_a_used_up_day(admission: Admission, holder: Holder) -> None:
    await holder.set_account(daily_limit=1)
    assert await ask(admission, order(holder)) == "admitted"
    assert await ask(admission, order(holder, charge=0)) == "admitted"
    assert await ask(admission, order(holder, charge=1)) == "quota_exceeded"
    assert (await holder.meter())[1] == 1


async def test_bytes_are_counted_until_midnight_utc(admission: Admission, holder: Holder, clock: Clock) -> None:
    await holder.set_account(daily_bytes=100)
    assert await ask(admission, order(holder, size=60)) == "admitted"
    assert await ask(admission, order(holder, size=41)) == "bytes_exceeded"
    assert await ask(admission, order(holder, size=40)) == "admitted"
    assert await ask(admission, order(holder, size=1)) == "bytes_exceeded"
    await clock.stop_at(MIDNIGHT)
    assert await ask(admission, order(holder, size=100)) == "admitted"


# The burst.


@pytest.mark.parametrize(("limit", "period_s"), [(1, 60), (7, 60), (100, 60), (997, 60), (9000, 60), (13, 1)])
async def test_a_burst_is_exactly_the_limit_at_one_instant(
    admission: Admission, holder: Holder, clock: Clock, limit: int, period_s: int
) -> None:
    await holder.set_account(burst_limit=limit, burst_period_s=period_s)
    slot = timedelta(microseconds=round(period_s / limit * 1e6))
    arrival = NOON + slot * max(0, limit - 5)
    await holder.database.execute(
        "INSERT INTO meters (subject_id, day, arrival_at) VALUES (%s, 'epoch', %s)", (holder.account_id, arrival)
    )
    left = min(limit, 5)
    assert await outcomes(admission, holder, left + 2) == ["admitted"] * left + ["burst_exceeded"] * 2
    # One more is possible one emission interval later, and no sooner; the answer says so in whole seconds.
    await clock.stop_at(NOON + slot - timedelta(microseconds=1))
    refused = await admission.admit(order(holder), lifetime_s=60)
    assert isinstance(refused, Refused)
    assert refused.allowance
    assert refused.allowance.burst
    assert refused.allowance.burst.remaining == 0
    assert refused.error.retry_after_s == 1
    await clock.stop_at(NOON + slot)
    assert await outcomes(admission, holder, 2) == ["admitted", "burst_exceeded"]


async def test_what_is_left_of_a_burst_is_told_and_is_true(admission: Admission, holder: Holder, clock: Clock) -> None:
    assert clock
    await holder.set_account(burst_limit=7, burst_period_s=60)
    left: list[int] = []
    for _ in range(7):
        burst = (await admit(admission, order(holder))).allowance.burst
        assert burst
        left.append(burst.remaining)
    assert left == [6, 5, 4, 3, 2, 1, 0]


async def test_a_refused_burst_costs_nothing_of_the_day(admission: Admission, holder: Holder, clock: Clock) -> None:
    assert clock
    await holder.set_account(burst_limit=2, daily_limit=50)
    assert await outcomes(admission, holder, 10) == ["admitted"] * 2 + ["burst_exceeded"] * 8
    assert (await holder.meter())[1] == 2


async def test_a_burst_limit_that_was_changed_holds_at_once(admission: Admission, holder: Holder, clock: Clock) -> None:
    await holder.set_account(burst_limit=1, burst_period_s=86_400)
    assert await outcomes(admission, holder, 2) == ["admitted", "burst_exceeded"]
    await holder.set_account(burst_limit=100, burst_period_s=60)
    await outcomes(admission, holder, 1)
    # The old debt of a day is one of a minute now, and is paid off at the new rate.
    await clock.stop_at(NOON + timedelta(seconds=6))
    assert await outcomes(admission, holder, 12) == ["admitted"] * 10 + ["burst_exceeded"] * 2


# What runs at the same time.


async def test_only_so_many_run_at_the_same_time(admission: Admission, holder: Holder) -> None:
    await holder.set_account(concurrent_limit=2)
    first, second = await admit(admission, order(holder)), await admit(admission, order(holder))
    assert (first.allowance.running, second.allowance.running) == (1, 2)
    assert await ask(admission, order(holder)) == "concurrency_exceeded"
    assert await admission.settle(first, verdict())
    assert await outcomes(admission, holder, 2) == ["admitted", "concurrency_exceeded"]
    await fail(admission, second)
    assert await outcomes(admission, holder, 2) == ["admitted", "concurrency_exceeded"]


async def test_only_so_many_run_though_they_come_at_once_by_many_ways(
    gateway_settings: GatewaySettings, holder: Holder
) -> None:
    await holder.set_account(concurrent_limit=5)
    async with open_database(gateway_settings) as one, open_database(gateway_settings) as other:
        ways = [Admission(one.pool), Admission(other.pool)]
        results = await asyncio.gather(*(ask(ways[number % 2], order(holder)) for number in range(60)))
    assert results.count("admitted") == 5
    assert results.count("concurrency_exceeded") == 55


# Plans, and what an account has instead.


async def make_plan(database: Any, name: str, **limits: int) -> None:
    columns = {"name": name, "title": name.title()} | limits
    await database.execute(
        f"INSERT INTO plans ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})",  # noqa: S608 - Ours.
        list(columns.values()),
    )


async def test_the_plan_limits_and_what_the_account_has_of_its_own_goes_first(
    admission: Admission, holder: Holder, database: Any
) -> None:
    await make_plan(
        database, "small", daily_limit=2, daily_bytes=1000, burst_limit=2, burst_period_s=60, concurrent_limit=9
    )
    await holder.set_account(plan="small")
    allowance = (await admit(admission, order(holder))).allowance
    assert (allowance.daily_limit, allowance.daily_bytes, allowance.concurrent_limit) == (2, 1000, 9)
    assert (allowance.burst_limit, allowance.burst_period_s) == (2, 60)
    await holder.set_account(daily_limit=5, daily_bytes=2000, burst_limit=3, burst_period_s=90, concurrent_limit=8)
    allowance = (await admit(admission, order(holder))).allowance
    assert (allowance.daily_limit, allowance.daily_bytes, allowance.concurrent_limit) == (5, 2000, 8)
    assert (allowance.burst_limit, allowance.burst_period_s) == (3, 90)


async def test_another_plan_holds_from_the_next_call_on(admission: Admission, holder: Holder, database: Any) -> None:
    await make_plan(database, "small", daily_limit=1)
    await make_plan(database, "large", daily_limit=3)
    await holder.set_account(plan="small")
    assert await outcomes(admission, holder, 2) == ["admitted", "quota_exceeded"]
    await holder.set_account(plan="large")
    assert await outcomes(admission, holder, 3) == ["admitted"] * 2 + ["quota_exceeded"]
    await holder.set_account(plan="small")
    assert await ask(admission, order(holder)) == "quota_exceeded"
    await database.execute("UPDATE plans SET daily_limit = 4 WHERE name = 'small'")
    assert await outcomes(admission, holder, 2) == ["admitted", "quota_exceeded"]


async def test_a_raised_day_takes_the_burst_with_it_unless_the_plan_says_otherwise(
    admission: Admission, holder: Holder, database: Any
) -> None:
    await holder.set_account(plan="standard", daily_limit=1000)
    assert (await admit(admission, order(holder))).allowance.burst_limit == 1000
    await holder.set_account(daily_limit=10)
    assert (await admit(admission, order(holder))).allowance.burst_limit == 100
    await make_plan(database, "steady", daily_limit=1000, burst_limit=10)
    await holder.set_account(plan="steady", daily_limit=2000)
    assert (await admit(admission, order(holder))).allowance.burst_limit == 10
