"""Keys in the place of others, keys that are ended, and the primary key, which contract A knows."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.settings import GatewaySettings
from tests.fixtures.admissions import Holder
from tests.fixtures.gateway import EMAIL, PASSWORD, Client
from tests.fixtures.keys import Keyring, sign_in

pytestmark = pytest.mark.integration

KEY = re.compile(r"sk-live-[0-9a-f]{48}")


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
