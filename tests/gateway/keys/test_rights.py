"""Who may make and change keys, what no key may give, and what is written down of it."""

import re
from typing import Any
from uuid import uuid4

import pytest

from tests.fixtures.admissions import Holder
from tests.fixtures.keys import Keyring, audited

pytestmark = pytest.mark.integration

KEY = re.compile(r"sk-live-[0-9a-f]{48}")


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
    events = await audited(holder.database)
    assert [event[:3] for event in events] == [
        (f"key.{verb}", "user", made["id"]) for verb in ("create", "change", "rotate", "revoke")
    ]
    assert events[0][4]["daily_limit"] == 5
    assert (events[1][3]["daily_limit"], events[1][4]["daily_limit"]) == (5, 6)
    assert events[2][4]["successor"] == new["id"]
    maker = await keyring.make_ring(scopes=["keys", "*"])
    await maker.make()
    assert (await audited(holder.database))[-1][1] == "key"


async def test_a_refused_change_leaves_no_trace(keyring: Keyring, holder: Holder) -> None:
    assert (await keyring.ask("POST", json={"name": "x", "scopes": ["admin"]})).status_code == 403
    assert await audited(holder.database) == []
