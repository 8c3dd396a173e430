"""What is given back of the limits of accounts and keys, and what keys have of their own."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.detections.admission import Admission
from gateway.keys.secrets import make_key
from tests.fixtures.admissions import (
    Clock,
    Holder,
    add_key,
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


# What is given back.


async def test_a_failure_is_given_back_to_the_account_and_to_the_key(admission: Admission, holder: Holder) -> None:
    await holder.set_account(daily_limit=5, daily_bytes=1000)
    await holder.set_key(daily_limit=5, daily_bytes=1000)
    admitted = await admit(admission, order(holder, size=70))
    assert (await holder.meter())[1:] == (1, 70, 1)
    assert (await holder.meter(holder.key_id))[1:] == (1, 70, 1)
    allowance = await fail(admission, admitted)
    assert (await holder.meter())[1:] == (0, 0, 0)
    assert (await holder.meter(holder.key_id))[1:] == (0, 0, 0)
    assert (allowance.used_today, allowance.bytes_today) == (0, 0)
    assert (allowance.key_used_today, allowance.key_bytes_today) == (0, 0)


async def test_it_is_given_back_once_however_often_it_fails(admission: Admission, holder: Holder) -> None:
    one, _ = await admit(admission, order(holder)), await admit(admission, order(holder))
    await asyncio.gather(*(fail(admission, one) for _ in range(4)))
    assert (await holder.meter())[1] == 1


async def test_a_verdict_is_not_given_back(admission: Admission, holder: Holder) -> None:
    admitted = await admit(admission, order(holder))
    assert await admission.settle(admitted, verdict())
    await fail(admission, admitted)
    assert (await holder.meter())[1:] == (1, 10, 1)


async def test_a_failure_after_midnight_is_given_back_to_its_own_day(
    admission: Admission, holder: Holder, clock: Clock
) -> None:
    await holder.set_account(daily_limit=2)
    await holder.set_key(daily_limit=2)
    old, kept = await admit(admission, order(holder)), await admit(admission, order(holder))
    await clock.stop_at(MIDNIGHT)
    assert await ask(admission, order(holder)) == "admitted"
    await fail(admission, old)
    # The new day's count stays as it was: one of two is used.
    assert await holder.meter() == (MIDNIGHT.date(), 1, 10, 2)
    assert await holder.meter(holder.key_id) == (MIDNIGHT.date(), 1, 10, 2)
    assert await outcomes(admission, holder, 2) == ["admitted", "quota_exceeded"]
    assert await admission.settle(kept, verdict())
    days = "SELECT day, charged, succeeded, failed FROM detection_days"
    assert await (await holder.database.execute(days)).fetchall() == [(NOON.date(), 1, 1, 1)]


async def test_a_failure_after_midnight_with_nothing_new_leaves_the_old_day_right(
    admission: Admission, holder: Holder, clock: Clock
) -> None:
    await holder.set_account(daily_limit=2)
    admitted = await admit(admission, order(holder))
    await clock.stop_at(MIDNIGHT + timedelta(hours=1))
    await fail(admission, admitted)
    assert await holder.meter() == (NOON.date(), 0, 0, 0)
    assert await outcomes(admission, holder, 3) == ["admitted"] * 2 + ["quota_exceeded"]


# What a key has of its own.


async def test_a_key_has_its_own_day_bytes_and_burst(admission: Admission, holder: Holder, clock: Clock) -> None:
    assert clock
    limits: list[tuple[dict[str, object], str]] = [
        ({"daily_limit": 1}, "quota_exceeded"),
        ({"daily_bytes": 15}, "bytes_exceeded"),
        ({"burst_limit": 1, "burst_period_s": 60}, "burst_exceeded"),
    ]
    for columns, refusal in limits:
        key = make_key()
        await add_key(holder.database, holder.account_id, key, **columns)
        limited = replace(holder.credentials, key_digest=key.digest)
        assert await ask(admission, order(limited)) == "admitted"
        assert await ask(admission, order(limited)) == refusal
        # The account's other key goes on.
        assert await ask(admission, order(holder)) == "admitted"
    assert (await holder.meter())[1] == 6


async def test_what_a_key_is_refused_is_not_counted_for_the_account_nor_the_other_way_round(
    admission: Admission, holder: Holder
) -> None:
    await holder.set_account(daily_limit=2)
    await holder.set_key(daily_limit=1)
    assert await outcomes(admission, holder, 3) == ["admitted", "quota_exceeded", "quota_exceeded"]
    assert (await holder.meter())[1] == 1
    await holder.set_key(daily_limit=9)
    assert await outcomes(admission, holder, 3) == ["admitted", "quota_exceeded", "quota_exceeded"]
    assert (await holder.meter(holder.key_id))[1] == 2


async def test_keys_of_one_meter_are_counted_together(admission: Admission, holder: Holder) -> None:
    await holder.set_key(daily_limit=4)
    key = make_key()
    await add_key(holder.database, holder.account_id, key, daily_limit=4, meter_id=holder.key_id)
    successor = replace(holder.credentials, key_digest=key.digest)
    first = await admit(admission, order(successor))
    results = await asyncio.gather(
        *(ask(admission, order(who)) for who in [holder.credentials, successor] * 4),
    )
    assert results.count("admitted") == 3
    await fail(admission, first)
    assert (await holder.meter(holder.key_id))[1] == 3
    assert await ask(admission, order(successor)) == "admitted"


async def test_a_key_that_gets_limits_has_used_what_it_used_today(admission: Admission, holder: Holder) -> None:
    settled, failed, running = [await admit(admission, order(holder)) for _ in range(3)]
    assert await admission.settle(settled, verdict())
    await fail(admission, failed)
    await holder.set_key(daily_limit=3)
    start = "SELECT start_key_meter(%s, %s)"
    await holder.database.execute(start, (holder.account_id, holder.key_id))
    assert (await holder.meter(holder.key_id))[1:3] == (2, 20)
    assert await outcomes(admission, holder, 2) == ["admitted", "quota_exceeded"]
    await fail(admission, running)
    assert await outcomes(admission, holder, 2) == ["admitted", "quota_exceeded"]
