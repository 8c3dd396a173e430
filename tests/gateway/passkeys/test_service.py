import asyncio
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.fixtures.authenticator import Authenticator
from tests.fixtures.gateway import EMAIL, Client
from tests.fixtures.passkeys import BASE, Owner, owner_of, sign_in

pytestmark = pytest.mark.integration


async def test_a_passkey_is_renamed_and_removed(owner: Owner, database: psycopg.AsyncConnection[Any]) -> None:
    authenticator = Authenticator()
    passkey_id = (await owner.add(authenticator)).json()["id"]
    answer = await owner.call("PATCH", f"/{passkey_id}", {"name": "Old phone"})
    assert answer.json()["name"] == "Old phone"
    for name in ("", "a\nb", "\u202e", "x" * 65):
        assert (await owner.call("PATCH", f"/{passkey_id}", {"name": name})).status_code == 400
    assert (await owner.call("DELETE", f"/{passkey_id}")).status_code == 204
    assert (await sign_in(owner.http, authenticator)).status_code == 401
    actions = await (await database.execute("SELECT action FROM audit_events WHERE target_kind = 'passkey'")).fetchall()
    assert {row[0] for row in actions} == {"passkey.add", "passkey.rename", "passkey.remove"}


async def test_anothers_passkey_does_not_exist(owner: Owner) -> None:
    passkey_id = (await owner.add(Authenticator())).json()["id"]
    other = await owner_of(owner.http, "other@example.org")
    for some_id in (passkey_id, str(uuid4())):
        assert (await other.call("PATCH", f"/{some_id}", {"name": "Mine"})).status_code == 404
        assert (await other.call("DELETE", f"/{some_id}")).status_code == 404
    assert (await other.call("GET")).json()["data"] == []
    assert len((await owner.call("GET")).json()["data"]) == 1


async def test_the_last_way_in_stays(owner: Owner, database: psycopg.AsyncConnection[Any]) -> None:
    ids = [(await owner.add(Authenticator())).json()["id"] for _ in range(2)]
    await database.execute("UPDATE accounts SET password_hash = NULL")
    answers = await asyncio.gather(*(owner.call("DELETE", f"/{one}") for one in ids))
    assert sorted(answer.status_code for answer in answers) == [204, 409]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"last_way_in"}
    await database.execute(
        "INSERT INTO identities (issuer, subject, account_id) SELECT 'https://id.example', '1', id FROM accounts"
    )
    (left,) = (await owner.call("GET")).json()["data"]
    assert (await owner.call("DELETE", f"/{left['id']}")).status_code == 204


async def test_an_account_has_a_limited_number_of_passkeys(
    owner: Owner, database: psycopg.AsyncConnection[Any]
) -> None:
    made = Authenticator().create(await owner.options())
    await database.execute(
        "INSERT INTO passkeys (account_id, credential_id, public_key, name) "
        "SELECT a.id, int4send(n), 'x', 'one of many' FROM accounts a, generate_series(1, 20) n"
    )
    answer = await owner.call("POST", "/register/verify", {"credential": made})
    assert answer.status_code == 409
    answer = await owner.call("POST", "/register")
    assert answer.status_code == 409
    assert answer.json()["code"] == "too_many_passkeys"


async def test_adding_asks_who_is_there(anonymous: Client, member: Client) -> None:
    for path in ("/register", "/register/verify"):
        assert (await anonymous.http.post(f"{BASE}{path}")).status_code == 401
        answer = await anonymous.http.post(f"{BASE}{path}", headers=member.headers())
        assert answer.status_code == 403
        assert answer.json()["code"] == "missing_scope"


async def test_anothers_passkey_cannot_be_added_again(owner: Owner) -> None:
    authenticator = Authenticator()
    await owner.add(authenticator)
    thief = Authenticator(credential_id=authenticator.credential_id)
    other = await owner_of(owner.http, "other@example.org")
    answer = await other.add(thief)
    assert answer.status_code == 409
    assert answer.json()["code"] == "passkey_taken"
    assert (await sign_in(owner.http, thief)).status_code == 401
    assert (await sign_in(owner.http, authenticator)).json()["account"]["email"] == EMAIL


async def test_many_calls_with_keys_and_a_made_up_challenge_hold_up_nobody(owner: Owner) -> None:
    """Each holds a connection for its key; one more for the challenge, and all would wait for each other."""
    made = Authenticator().create(await owner.options() | {"challenge": "A" * 64})
    headers = {"authorization": f"Bearer {owner.token}"}
    async with asyncio.timeout(4):
        answers = await asyncio.gather(
            *(
                owner.http.post(
                    f"{BASE}/register/verify",
                    headers=headers | {"idempotency-key": f"call-{number}"},
                    json={"credential": made, "name": "Phone"},
                )
                for number in range(16)
            )
        )
    assert {answer.json()["code"] for answer in answers} == {"invalid_passkey"}
