"""Who is admitted at all: scopes, addresses, models, and those who are not let in."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from bentos.contract import Modality
from gateway.access.credentials import Credentials
from gateway.detections.admission import Admission
from gateway.detections.orders import Refused
from gateway.keys.secrets import make_key
from gateway.limits.headers import limit_headers
from tests.fixtures.admissions import (
    Clock,
    Holder,
    admit,
    ask,
    make_holder,
    order,
)

pytestmark = pytest.mark.integration

NOON = datetime(2030, 6, 15, 12, tzinfo=UTC)
MIDNIGHT = datetime(2030, 6, 16, tzinfo=UTC)


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
