"""What the function `admit` lets pass and what it refuses, limit by limit, and what is given back."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from bentos.contract import Modality
from gateway.access.credentials import Credentials
from gateway.db.engine import open_database
from gateway.detections.admission import Admission, Refused
from gateway.keys.secrets import make_key
from gateway.limits.headers import limit_headers
from gateway.settings import GatewaySettings
from tests.fixtures.admissions import (
    Clock,
    Holder,
    add_key,
    admit,
    ask,
    fail,
    make_holder,
    order,
    verdict,
)

pytestmark = pytest.mark.integration

NOON = datetime(2030, 6, 15, 12, tzinfo=UTC)
MIDNIGHT = datetime(2030, 6, 16, tzinfo=UTC)


@pytest.fixture
async def admission(gateway_settings: GatewaySettings) -> AsyncGenerator[Admission]:
    async with open_database(gateway_settings) as database:
        yield Admission(database.pool)


@pytest.fixture
async def holder(database: Any) -> Holder:
    return await make_holder(database)


@pytest.fixture
async def clock(database: Any) -> Clock:
    clock = Clock(database)
    await clock.stop_at(NOON)
    return clock


async def outcomes(admission: Admission, holder: Holder, count: int, **options: Any) -> list[str]:
    """How `count` calls at once go."""
    return await asyncio.gather(*(ask(admission, order(holder, **options)) for _ in range(count)))


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


# Who may do what.


SCOPES: list[tuple[list[str], Modality, str]] = [
    (["*"], Modality.AUDIO, "admitted"),
    (["detect:image"], Modality.IMAGE, "admitted"),
    (["detect:image"], Modality.VIDEO, "missing_scope"),
    (["history:read", "keys"], Modality.IMAGE, "missing_scope"),
    ([], Modality.IMAGE, "missing_scope"),
]


async def test_scopes(admission: Admission, holder: Holder) -> None:
    for scopes, modality, outcome in SCOPES:
        await holder.set_key(scopes=scopes)
        assert await ask(admission, order(holder, modality=modality)) == outcome


ADDRESSES: list[tuple[list[str] | None, str | None, str]] = [
    (["192.0.2.7/32"], "192.0.2.7", "admitted"),
    (["192.0.2.0/24"], "192.0.2.255", "admitted"),
    (["192.0.2.0/24"], "192.0.3.1", "address_not_allowed"),
    (["2001:db8::/32"], "2001:db8:ffff::1", "admitted"),
    (["2001:db8::/32"], "2001:db9::1", "address_not_allowed"),
    (["2001:db8::/32", "192.0.2.0/24"], "192.0.2.1", "admitted"),
    (["0.0.0.0/0"], "2001:db8::1", "address_not_allowed"),
    (["::/0"], "192.0.2.1", "address_not_allowed"),
    (["0.0.0.0/0", "::/0"], None, "address_not_allowed"),
    ([], "192.0.2.1", "address_not_allowed"),
    (None, None, "admitted"),
]


async def test_addresses(admission: Admission, holder: Holder) -> None:
    for networks, address, outcome in ADDRESSES:
        await holder.set_key(allowed_addresses=networks)
        assert await ask(admission, order(replace(holder.credentials, address=address))) == outcome


MODELS: list[tuple[list[str] | None, str | None, str]] = [
    (None, None, "admitted"),
    (["image_cnn"], "image_cnn", "admitted"),
    (["image_cnn", "other"], "other", "admitted"),
    (["image_cnn"], "other", "model_not_allowed"),
    (["image_cnn"], None, "model_not_allowed"),
    ([], "image_cnn", "model_not_allowed"),
]


async def test_models(admission: Admission, holder: Holder) -> None:
    for models, model, outcome in MODELS:
        await holder.set_key(allowed_models=models)
        assert await ask(admission, order(holder, model_asked=model)) == outcome


async def test_whose_account_is_suspended_or_deleted_is_refused(admission: Admission, holder: Holder) -> None:
    await holder.set_account(status="suspended")
    assert await ask(admission, order(holder)) == "account_suspended"
    await holder.set_account(status="deleted")
    assert await ask(admission, order(holder)) == "invalid_api_key"


async def test_a_key_that_expired_was_revoked_or_never_was_is_unknown(admission: Admission, holder: Holder) -> None:
    now = datetime.now(UTC)
    await holder.set_key(expires_at=now + timedelta(minutes=1))
    assert await ask(admission, order(holder)) == "admitted"
    await holder.set_key(expires_at=now - timedelta(seconds=1))
    assert await ask(admission, order(holder)) == "invalid_api_key"
    await holder.set_key(expires_at=None, revoked_at=now)
    assert await ask(admission, order(holder)) == "invalid_api_key"
    assert await ask(admission, order(Credentials(key_digest=make_key().digest))) == "invalid_api_key"


async def make_session(holder: Holder) -> UUID:
    query = """
        INSERT INTO sessions (account_id, method, expires_at) VALUES (%s, 'password', now() + interval '1 h')
        RETURNING id
    """
    row = await (await holder.database.execute(query, (holder.account_id,))).fetchone()
    assert row
    return row[0]


async def test_a_session_counts_for_the_account_and_for_no_key(admission: Admission, holder: Holder) -> None:
    await holder.set_account(daily_limit=2)
    session_id = await make_session(holder)
    asked = Credentials(session_id=session_id)
    admitted = await admit(admission, order(asked))
    assert (admitted.account_id, admitted.key_id) == (holder.account_id, None)
    await holder.database.execute("UPDATE sessions SET closed_at = now() WHERE id = %s", (session_id,))
    assert await ask(admission, order(asked)) == "invalid_token"
    assert await ask(admission, order(Credentials(session_id=uuid4()))) == "invalid_token"
    assert (await holder.meter())[1] == 1


async def test_a_batch_tells_everyone_apart(admission: Admission, database: Any) -> None:
    holders = [await make_holder(database, daily_limit=number) for number in range(5)]
    unknown = Credentials(key_digest=make_key().digest)
    wanted = [order(holder) for _ in range(5) for holder in holders] + [order(unknown)] * 3
    results = await asyncio.gather(*(admission.admit(one, lifetime_s=60) for one in wanted))
    for holder, limit in zip(holders, range(5), strict=True):
        mine = [result for one, result in zip(wanted, results, strict=True) if one.credentials is holder.credentials]
        assert sum(not isinstance(result, Refused) for result in mine) == limit
        assert {getattr(result, "account_id", holder.account_id) for result in mine} == {holder.account_id}
    assert [result.error.code for result in results[-3:] if isinstance(result, Refused)] == ["invalid_api_key"] * 3


async def test_the_headers_of_an_answer_tell_every_limit(admission: Admission, holder: Holder, clock: Clock) -> None:
    assert clock
    await holder.set_account(daily_limit=10, daily_bytes=1000, burst_limit=5, burst_period_s=50, concurrent_limit=4)
    await holder.set_key(daily_limit=3, daily_bytes=500, burst_limit=2, burst_period_s=20)
    headers = dict(limit_headers((await admit(admission, order(holder, size=100))).allowance))
    assert headers[b"ratelimit-policy"].decode().split(", ") == [
        '"daily";q=10;w=86400',
        '"bytes";q=1000;qu="content-bytes";w=86400',
        '"concurrent";q=4;qu="concurrent-requests"',
        '"key-daily";q=3;w=86400',
        '"key-bytes";q=500;qu="content-bytes";w=86400',
        '"burst";q=5;w=50',
        '"key-burst";q=2;w=20',
    ]
    assert headers[b"ratelimit"].decode().split(", ") == [
        '"daily";r=9;t=43200',
        '"bytes";r=900;t=43200',
        '"concurrent";r=3',
        '"key-daily";r=2;t=43200',
        '"key-bytes";r=400;t=43200',
        '"burst";r=4;t=10',
        '"key-burst";r=1;t=10',
    ]
    # The older names hold one limit: the one of the day that is used up first.
    assert (headers[b"x-ratelimit-limit"], headers[b"x-ratelimit-remaining"]) == (b"3", b"2")
