"""`/v1/keys` over HTTP: made, listed, changed."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.fixtures.admissions import Holder
from tests.fixtures.gateway import eventually
from tests.fixtures.keys import Keyring, audited

pytestmark = pytest.mark.integration

KEY = re.compile(r"sk-live-[0-9a-f]{48}")


# Making.


async def test_a_key_is_shown_once_and_works_at_once(keyring: Keyring, holder: Holder) -> None:
    made = await keyring.make(name="laptop")
    assert KEY.fullmatch(made["key"])
    assert (made["prefix"], made["last4"]) == (made["key"][:16], made["key"][-4:])
    assert (made["name"], made["status"], made["primary"], made["scopes"]) == ("laptop", "active", False, ["*"])
    assert (await Keyring(keyring.http, made["key"]).detect()).status_code == 200
    shown = await keyring.ask("GET", f"/{made['id']}")
    assert shown.status_code == 200
    assert shown.json().keys() == made.keys() - {"key"}
    assert made["key"] not in (await keyring.ask("GET")).text
    for event in await audited(holder.database):
        assert made["key"] not in str(event)


async def test_every_field_is_kept_and_networks_are_written_plainly(keyring: Keyring) -> None:
    made = await keyring.make(
        name="all",
        scopes=["usage:read", "detect:image", "detect:image"],
        expires_at="2090-01-02T03:04:05+01:00",
        allowed_addresses=["10.1.2.3/24", "2001:DB8::1", "::ffff:192.0.2.1", "10.1.2.0/24"],
        allowed_models=["image_cnn"],
        daily_limit=50,
        daily_bytes=5_000_000_000,
        burst_limit=7,
        burst_period_s=30,
    )
    assert made["scopes"] == ["detect:image", "usage:read"]
    assert datetime.fromisoformat(made["expires_at"]) == datetime(2090, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert made["allowed_addresses"] == ["10.1.2.0/24", "192.0.2.1/32", "2001:db8::1/128"]
    assert made["allowed_models"] == ["image_cnn"]
    assert (made["daily_limit"], made["daily_bytes"]) == (50, 5_000_000_000)
    assert (made["burst_limit"], made["burst_period_s"]) == (7, 30)


async def test_a_life_in_seconds_ends_the_key(keyring: Keyring, holder: Holder) -> None:
    made = await keyring.make(expires_in=3600)
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    await holder.database.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (made["id"],))
    answer = await Keyring(keyring.http, made["key"]).detect()
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key")
    assert (await keyring.ask("GET", f"/{made['id']}")).json()["status"] == "expired"


BAD_FIELDS: list[dict[str, Any]] = [
    {"name": ""},
    {"name": "x" * 101},
    {"name": "two\nlines"},
    {"name": "nul\x00"},
    {"name": None},
    {"scopes": []},
    {"scopes": ["detect:smell"]},
    {"scopes": "detect:image"},
    {"scopes": None},
    {"expires_at": "2001-01-01T00:00:00Z"},
    {"expires_at": "2090-01-01T00:00:00"},
    {"expires_at": "tomorrow"},
    {"expires_at": "9999-12-31T23:59:59-23:59"},
    {"expires_in": 0},
    {"expires_in": 10**12},
    {"expires_in": 60, "expires_at": "2090-01-01T00:00:00Z"},
    {"allowed_addresses": []},
    {"allowed_addresses": ["10.0.0.0/33"]},
    {"allowed_addresses": ["example.org"]},
    {"allowed_addresses": ["fe80::1%eth0"]},
    {"allowed_addresses": ["10.0.0.1"] * 65},
    {"allowed_models": []},
    {"allowed_models": ["../model"]},
    {"daily_limit": -1},
    {"daily_limit": 2**31},
    {"daily_limit": 1.5},
    {"daily_limit": True},
    {"daily_bytes": 2**53},
    {"burst_limit": 0},
    {"burst_period_s": 60},
    {"burst_limit": 1, "burst_period_s": 0},
    {"burst_limit": 1, "burst_period_s": 86_401},
    # What is not for the client to say.
    {"id": str(uuid4())},
    {"account_id": str(uuid4())},
    {"is_primary": True},
    {"primary": True},
    {"key": "sk-live-" + "0" * 48},
    {"meter_id": str(uuid4())},
    {"concurrent_limit": 9},
]


async def test_a_bad_field_is_400_and_makes_nothing(keyring: Keyring) -> None:
    for fields in BAD_FIELDS:
        answer = await keyring.ask("POST", json={"name": "a key"} | fields)
        assert answer.status_code == 400, (fields, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert len((await keyring.ask("GET")).json()["data"]) == 1


async def test_what_is_no_object_is_400(keyring: Keyring) -> None:
    for content in (b"", b"{", b"[]", b"null", b'{"name": "\\ud800"}', b"\xff"):
        assert (await keyring.ask("POST", content=content)).status_code == 400, content


async def test_an_account_has_at_most_so_many_living_keys(keyring: Keyring, holder: Holder) -> None:
    made = await keyring.make()
    fill = """
        INSERT INTO api_keys (account_id, digest, prefix, revoked_at)
        SELECT %s, sha256(n::text::bytea), '', CASE WHEN n > 98 THEN now() END FROM generate_series(1, 120) n
    """
    await holder.database.execute(fill, (holder.account_id,))
    answer = await keyring.ask("POST", json={"name": "one too many"})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_keys")
    answer = await keyring.ask("POST", f"/{made['id']}/rotate")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_keys")
    await keyring.rotate(made["id"], overlap_s=0)
    assert (await keyring.ask("DELETE", f"/{holder.key_id}")).status_code == 204
    await keyring.make()


async def test_the_bound_holds_when_many_are_made_at_once(keyring: Keyring, holder: Holder) -> None:
    fill = """
        INSERT INTO api_keys (account_id, digest, prefix)
        SELECT %s, sha256(n::text::bytea), '' FROM generate_series(1, 96) n
    """
    await holder.database.execute(fill, (holder.account_id,))
    answers = await asyncio.gather(*(keyring.ask("POST", json={"name": "a key"}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 5


# Listing.


async def test_keys_are_listed_page_by_page_newest_first(keyring: Keyring, holder: Holder) -> None:
    made = [(await keyring.make(name=f"key {number}"))["id"] for number in range(5)]
    expected = [*reversed(made), str(holder.key_id)]
    found: list[str] = []
    cursor = None
    for _ in range(3):
        page = (await keyring.ask("GET", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        found += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert found == expected
    primary = (await keyring.ask("GET", f"/{holder.key_id}")).json()
    assert primary["primary"] is True


async def test_a_bad_parameter_is_400(keyring: Keyring) -> None:
    for query in ("limit=0", "limit=101", "limit=x", "cursor=x", "revoked=perhaps"):
        assert (await keyring.ask("GET", f"?{query}")).status_code == 400, query


async def test_the_last_use_is_told_a_moment_later(keyring: Keyring) -> None:
    made = await keyring.make()
    assert made["last_used_at"] is None
    await Keyring(keyring.http, made["key"]).detect()

    async def noted() -> bool:
        return (await keyring.ask("GET", f"/{made['id']}")).json()["last_used_at"] is not None

    await eventually(noted)


# Changing.


async def test_what_is_left_out_of_a_change_stays_and_null_lifts_it(keyring: Keyring) -> None:
    made = await keyring.make(
        scopes=["detect:image"], allowed_models=["a"], allowed_addresses=["192.0.2.1"], daily_limit=5, burst_limit=6
    )
    path = f"/{made['id']}"
    changed = (await keyring.ask("PATCH", path, json={"name": "new", "daily_limit": 9})).json()
    assert changed == {**{name: made[name] for name in changed}, "name": "new", "daily_limit": 9}
    lifted = await keyring.ask(
        "PATCH",
        path,
        json={"allowed_models": None, "allowed_addresses": None, "daily_limit": None, "burst_limit": None},
    )
    for name in ("allowed_models", "allowed_addresses", "daily_limit", "burst_limit", "burst_period_s"):
        assert lifted.json()[name] is None
    later = (await keyring.ask("PATCH", path, json={"expires_in": 60})).json()
    assert later["expires_at"]
    assert (await keyring.ask("PATCH", path, json={"expires_at": None})).json()["expires_at"] is None
    assert (await keyring.ask("PATCH", path, json={})).json()["scopes"] == ["detect:image"]


async def test_a_change_holds_at_the_next_call(keyring: Keyring) -> None:
    made = await keyring.make()
    user = Keyring(keyring.http, made["key"])
    path = f"/{made['id']}"
    for change, status, code in [
        ({"scopes": ["history:read"]}, 403, "missing_scope"),
        ({"scopes": ["detect:image"], "allowed_addresses": ["203.0.113.9"]}, 403, "address_not_allowed"),
        ({"allowed_addresses": ["127.0.0.0/8"], "allowed_models": ["none"]}, 403, "model_not_allowed"),
        ({"allowed_models": ["image_fake"], "daily_limit": 0}, 429, "quota_exceeded"),
        ({"daily_limit": None, "daily_bytes": 10}, 429, "bytes_exceeded"),
        ({"daily_bytes": None}, 200, None),
    ]:
        assert (await keyring.ask("PATCH", path, json=change)).status_code == 200
        answer = await user.detect()
        assert (answer.status_code, answer.json().get("code")) == (status, code), change


async def test_limits_given_later_count_what_was_used_today(keyring: Keyring) -> None:
    made = await keyring.make()
    user = Keyring(keyring.http, made["key"])
    for _ in range(2):
        assert (await user.detect()).status_code == 200
    await keyring.ask("PATCH", f"/{made['id']}", json={"daily_limit": 3})
    assert [(await user.detect()).status_code for _ in range(2)] == [200, 429]
    await keyring.ask("PATCH", f"/{made['id']}", json={"daily_limit": None})
    assert (await user.detect()).status_code == 200
    await keyring.ask("PATCH", f"/{made['id']}", json={"daily_limit": 5})
    assert [(await user.detect()).status_code for _ in range(2)] == [200, 429]
