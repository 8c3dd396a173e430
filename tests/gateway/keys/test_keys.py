"""`/v1/keys` over HTTP: made, listed, changed, rotated, revoked; and what no key may give."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from gateway.settings import GatewaySettings
from tests.fixtures.admissions import Holder, make_holder
from tests.fixtures.gateway import EMAIL, PASSWORD, Client, eventually
from tests.fixtures.keys import Keyring, sign_in

pytestmark = pytest.mark.integration

KEY = re.compile(r"sk-live-[0-9a-f]{48}")


@pytest.fixture
async def holder(database: Any) -> Holder:
    return await make_holder(database)


@pytest.fixture
async def keyring(anonymous: Client, holder: Holder, gateway_settings: GatewaySettings) -> Keyring:
    """A client that is signed in."""
    return Keyring(anonymous.http, await sign_in(holder.database, gateway_settings, holder.account_id))


@pytest.fixture
async def other(anonymous: Client, database: Any, gateway_settings: GatewaySettings) -> Keyring:
    """A client that is signed in to another account."""
    stranger = await make_holder(database)
    return Keyring(anonymous.http, await sign_in(database, gateway_settings, stranger.account_id))


async def audited(holder: Holder) -> list[tuple[Any, ...]]:
    query = "SELECT action, actor_kind, target_id, before, after FROM audit_events ORDER BY id"
    return await (await holder.database.execute(query)).fetchall()


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
    for event in await audited(holder):
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


# Rotating.


async def test_both_keys_work_until_the_overlap_ends_and_share_their_limits(keyring: Keyring, holder: Holder) -> None:
    made = await keyring.make(name="rotated", scopes=["detect:image"], daily_limit=3)
    new = await keyring.rotate(made["id"])
    assert KEY.fullmatch(new["key"])
    assert new["rotated_from"] == made["id"]
    assert (new["name"], new["scopes"], new["daily_limit"], new["expires_at"]) == ("rotated", ["detect:image"], 3, None)
    old = (await keyring.ask("GET", f"/{made['id']}")).json()
    left = datetime.fromisoformat(old["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)
    users = [Keyring(keyring.http, made["key"]), Keyring(keyring.http, new["key"])]
    assert [(await user.detect()).status_code for user in users * 2] == [200, 200, 200, 429]
    await keyring.ask("PATCH", f"/{new['id']}", json={"daily_limit": 4})
    assert [(await user.detect()).status_code for user in users] == [200, 429]
    await holder.database.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (made["id"],))
    assert [(await user.detect()).status_code for user in users] == [401, 429]


async def test_without_overlap_the_old_key_is_dead_at_once(keyring: Keyring) -> None:
    made = await keyring.make(expires_at="2090-01-01T00:00:00Z")
    new = await keyring.rotate(made["id"], overlap_s=0)
    assert new["expires_at"] == made["expires_at"]
    assert (await Keyring(keyring.http, made["key"]).detect()).status_code == 401
    assert (await Keyring(keyring.http, new["key"]).detect()).status_code == 200
    assert (await keyring.ask("GET", f"/{made['id']}")).json()["status"] == "revoked"


async def test_an_overlap_makes_no_key_live_longer(keyring: Keyring) -> None:
    made = await keyring.make(expires_in=60)
    await keyring.rotate(made["id"], overlap_s=3600)
    old = (await keyring.ask("GET", f"/{made['id']}")).json()
    assert old["expires_at"] == made["expires_at"]
    for longer in ({"expires_at": None}, {"expires_in": 7200}):
        answer = await keyring.ask("PATCH", f"/{made['id']}", json=longer)
        assert (answer.status_code, answer.json()["code"]) == (409, "key_rotated")
    assert (await keyring.ask("PATCH", f"/{made['id']}", json={"expires_in": 5})).status_code == 200


async def test_a_key_has_one_successor_however_many_ask(keyring: Keyring) -> None:
    made = await keyring.make()
    answers = await asyncio.gather(*(keyring.ask("POST", f"/{made['id']}/rotate") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 4
    (new,) = [answer.json() for answer in answers if answer.status_code == 201]
    for refused in (answer.json() for answer in answers if answer.status_code == 409):
        assert refused["code"] == "key_rotated"
        assert new["id"] in refused["detail"]
    await keyring.rotate(new["id"])


async def test_a_bad_overlap_is_400(keyring: Keyring, holder: Holder) -> None:
    for overlap_s in (-1, 30 * 86_400 + 1, 1.5, "soon", None):
        answer = await keyring.ask("POST", f"/{holder.key_id}/rotate", json={"overlap_s": overlap_s})
        assert answer.status_code == 400, overlap_s


# Revoking, and the primary key.


async def test_a_revoked_key_opens_nothing_and_cannot_be_changed(keyring: Keyring) -> None:
    made = await keyring.make()
    path = f"/{made['id']}"
    assert (await keyring.ask("DELETE", path)).status_code == 204
    assert (await Keyring(keyring.http, made["key"]).detect()).status_code == 401
    assert (await keyring.ask("DELETE", path)).status_code == 204
    for method, end, body in [("PATCH", "", {"name": "x"}), ("POST", "/rotate", {})]:
        answer = await keyring.ask(method, path + end, json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "key_revoked")
    assert made["id"] not in (await keyring.ask("GET")).text
    assert made["id"] in (await keyring.ask("GET", params={"revoked": True})).text
    assert (await keyring.ask("GET", path)).json()["status"] == "revoked"


async def test_the_primary_key_is_rotated_and_regenerating_ends_it_and_the_one_before(
    member: Client, database: Any, gateway_settings: GatewaySettings
) -> None:
    first = member.key
    account = await (await database.execute("SELECT id FROM accounts")).fetchone()
    keyring = Keyring(member.http, await sign_in(database, gateway_settings, account[0]))
    (primary,) = (await keyring.ask("GET")).json()["data"]
    assert primary["primary"] is True
    new = await keyring.rotate(primary["id"])
    assert new["primary"] is True
    assert (await keyring.ask("GET", f"/{primary['id']}")).json()["primary"] is False
    login = await member.http.post("/login", json={"email": EMAIL, "password": PASSWORD})
    assert login.json()["api_key"] == new["prefix"] + "..."
    assert (await member.detect()).status_code == 200
    answer = await member.http.post("/regenerate-key", json={"email": EMAIL, "password": PASSWORD})
    for dead in (first, new["key"]):
        member.key = dead
        assert (await member.detect()).status_code == 401
    member.key = answer.json()["api_key"]
    assert (await member.detect()).status_code == 200


async def test_regenerating_ends_what_the_primary_key_was_rotated_from_though_itself_is_revoked(
    member: Client, database: Any, gateway_settings: GatewaySettings
) -> None:
    account = await (await database.execute("SELECT id FROM accounts")).fetchone()
    keyring = Keyring(member.http, await sign_in(database, gateway_settings, account[0]))
    (primary,) = (await keyring.ask("GET")).json()["data"]
    new = await keyring.rotate(primary["id"])
    await keyring.ask("DELETE", f"/{new['id']}")
    assert (await member.detect()).status_code == 200
    await member.http.post("/regenerate-key", json={"email": EMAIL, "password": PASSWORD})
    assert (await member.detect()).status_code == 401


async def test_an_account_may_be_without_a_primary_key_until_it_regenerates_one(
    member: Client, database: Any, gateway_settings: GatewaySettings
) -> None:
    account = await (await database.execute("SELECT id FROM accounts")).fetchone()
    keyring = Keyring(member.http, await sign_in(database, gateway_settings, account[0]))
    (primary,) = (await keyring.ask("GET")).json()["data"]
    assert (await keyring.ask("DELETE", f"/{primary['id']}")).status_code == 204
    credentials = {"email": EMAIL, "password": PASSWORD}
    assert (await member.http.post("/login", json=credentials)).json()["api_key"] is None
    member.key = (await member.http.post("/regenerate-key", json=credentials)).json()["api_key"]
    assert (await member.detect()).status_code == 200


# Who may.


async def test_keys_of_others_are_404_whatever_is_asked(keyring: Keyring, other: Keyring) -> None:
    made = await keyring.make()
    for key_id in (made["id"], str(uuid4())):
        for method, end, body in [
            ("GET", "", None),
            ("PATCH", "", {"name": "mine"}),
            ("DELETE", "", None),
            ("POST", "/rotate", {}),
        ]:
            answer = await other.ask(method, f"/{key_id}{end}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert made["id"] not in (await other.ask("GET", params={"revoked": True})).text
    assert (await keyring.ask("GET", f"/{made['id']}")).json()["name"] == "a key"


async def test_without_the_scope_or_without_credentials_nothing_is_done(keyring: Keyring, holder: Holder) -> None:
    ordinary = Keyring(keyring.http, holder.key.secret)
    for method, path in [("GET", ""), ("POST", ""), ("GET", f"/{holder.key_id}"), ("DELETE", f"/{holder.key_id}")]:
        answer = await ordinary.ask(method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
        assert (await keyring.http.request(method, f"/v1/keys{path}")).status_code == 401
    await holder.set_account(status="suspended")
    answer = await keyring.ask("GET")
    assert (answer.status_code, answer.json()["code"]) == (403, "account_suspended")


async def test_a_key_gives_what_it_has_by_default(keyring: Keyring) -> None:
    maker = await keyring.make_ring(
        scopes=["keys", "detect:image", "account"], allowed_addresses=["127.0.0.0/8"], allowed_models=["a"]
    )
    made = await maker.make()
    assert made["scopes"] == ["detect:image"]
    assert (made["allowed_addresses"], made["allowed_models"]) == (["127.0.0.0/8"], ["a"])
    assert (await (await keyring.make_ring(scopes=["keys", "*"])).make())["scopes"] == ["*"]
    only = await keyring.make_ring(scopes=["keys"])
    answer = await only.ask("POST", json={"name": "nothing to give"})
    assert answer.status_code == 400
    assert (await only.make(scopes=["keys"]))["scopes"] == ["keys"]


TOO_MUCH: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"scopes": ["keys", "*"]}, {"scopes": ["account"]}, "missing_scope"),
    ({"scopes": ["keys", "*"]}, {"scopes": ["admin"]}, "missing_scope"),
    ({"scopes": ["keys", "detect:image"]}, {"scopes": ["detect:video"]}, "missing_scope"),
    ({"scopes": ["keys", "detect:image"]}, {"scopes": ["*"]}, "missing_scope"),
    ({"allowed_addresses": ["127.0.0.0/8"]}, {"allowed_addresses": None}, "exceeds_own_rights"),
    ({"allowed_addresses": ["127.0.0.0/8"]}, {"allowed_addresses": ["0.0.0.0/0"]}, "exceeds_own_rights"),
    ({"allowed_addresses": ["127.0.0.0/8"]}, {"allowed_addresses": ["::1"]}, "exceeds_own_rights"),
    ({"allowed_models": ["a"]}, {"allowed_models": None}, "exceeds_own_rights"),
    ({"allowed_models": ["a"]}, {"allowed_models": ["a", "b"]}, "exceeds_own_rights"),
    ({"expires_in": 600}, {"expires_at": None}, "exceeds_own_rights"),
    ({"expires_in": 600}, {"expires_in": 601}, "exceeds_own_rights"),
    ({"daily_limit": 5}, {"daily_limit": 5}, "exceeds_own_rights"),
    ({"burst_limit": 5}, {"burst_limit": 5}, "exceeds_own_rights"),
]


async def test_a_key_never_gives_more_than_it_has(keyring: Keyring) -> None:
    for own, wanted, code in TOO_MUCH:
        maker = await keyring.make_ring(**({"scopes": ["keys", "*"]} | own))
        answer = await maker.ask("POST", json={"name": "more"} | wanted)
        assert (answer.status_code, answer.json()["code"]) == (403, code), (own, wanted)


async def test_a_key_gives_less_than_it_has(keyring: Keyring) -> None:
    maker = await keyring.make_ring(
        scopes=["keys", "*"], allowed_addresses=["127.0.0.0/8"], allowed_models=["a", "b"], expires_in=600
    )
    made = await maker.make(
        scopes=["detect:audio", "keys"], allowed_addresses=["127.0.0.1"], allowed_models=["b"], expires_in=60
    )
    assert made["scopes"] == ["detect:audio", "keys"]


async def test_a_key_cannot_take_hold_of_one_that_may_more(keyring: Keyring) -> None:
    strong = await keyring.make(scopes=["keys", "account"])
    weak = await keyring.make_ring(scopes=["keys"])
    for method, end, body in [("POST", "/rotate", {}), ("PATCH", "", {"name": "mine"})]:
        answer = await weak.ask(method, f"/{strong['id']}{end}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    # It may end it: that gives it nothing.
    assert (await weak.ask("DELETE", f"/{strong['id']}")).status_code == 204


async def test_a_key_may_narrow_and_rotate_itself_but_not_widen_itself(keyring: Keyring) -> None:
    made = await keyring.make(scopes=["keys", "detect:image"], daily_limit=5, burst_limit=5, burst_period_s=60)
    itself, path = Keyring(keyring.http, made["key"]), f"/{made['id']}"
    for wider in (
        {"scopes": ["keys", "detect:video"]},
        {"daily_limit": None},
        {"daily_limit": 6},
        {"burst_limit": None},
        {"burst_period_s": 59},
    ):
        assert (await itself.ask("PATCH", path, json=wider)).status_code == 403, wider
    assert (await itself.ask("PATCH", path, json={"daily_limit": 4, "burst_period_s": 120})).status_code == 200
    new = await itself.rotate(made["id"])
    assert new["daily_limit"] == 4
    # Its successor is another key, and it has limits of its own.
    assert (await itself.ask("PATCH", f"/{new['id']}", json={"name": "x"})).status_code == 403


async def test_only_a_super_admin_gives_the_scope_of_admins(keyring: Keyring, holder: Holder) -> None:
    answer = await keyring.ask("POST", json={"name": "admin", "scopes": ["admin"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    await holder.set_account(role="super_admin")
    made = await keyring.make(scopes=["admin"])
    await holder.set_account(role="user")
    # Once its owner is no admin any more, the key can be weakened or ended, not renewed.
    assert (await keyring.ask("POST", f"/{made['id']}/rotate")).status_code == 403
    assert (await keyring.ask("PATCH", f"/{made['id']}", json={"name": "x"})).status_code == 403
    assert (await keyring.ask("PATCH", f"/{made['id']}", json={"scopes": ["*"]})).status_code == 200


# The audit log.


async def test_what_is_done_to_keys_is_in_the_audit_log(keyring: Keyring, holder: Holder) -> None:
    made = await keyring.make(daily_limit=5)
    path = f"/{made['id']}"
    await keyring.ask("PATCH", path, json={"daily_limit": 6})
    await keyring.ask("PATCH", path, json={"daily_limit": 6})
    new = await keyring.rotate(made["id"])
    await keyring.ask("DELETE", path)
    await keyring.ask("DELETE", path)
    events = await audited(holder)
    assert [event[:3] for event in events] == [
        (f"key.{verb}", "user", made["id"]) for verb in ("create", "change", "rotate", "revoke")
    ]
    assert events[0][4]["daily_limit"] == 5
    assert (events[1][3]["daily_limit"], events[1][4]["daily_limit"]) == (5, 6)
    assert events[2][4]["successor"] == new["id"]
    maker = await keyring.make_ring(scopes=["keys", "*"])
    await maker.make()
    assert (await audited(holder))[-1][1] == "key"


async def test_a_refused_change_leaves_no_trace(keyring: Keyring, holder: Holder) -> None:
    assert (await keyring.ask("POST", json={"name": "x", "scopes": ["admin"]})).status_code == 403
    assert await audited(holder) == []
