"""An account ends at its owner's word."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest

from tests.fixtures.accounts import bearer, log_in, register
from tests.fixtures.gateway import EMAIL, PASSWORD, Client

pytestmark = pytest.mark.integration

Connection = psycopg.AsyncConnection[Any]


async def delete(http: httpx.AsyncClient, tokens: dict[str, Any], body: object = None) -> httpx.Response:
    return await http.request("DELETE", "/v1/account", headers=bearer(tokens), json=body)


async def age_sessions(database: Connection) -> None:
    await database.execute("UPDATE sessions SET created_at = created_at - interval '11 minutes'")


async def test_a_deleted_account_is_dead_at_once_and_its_names_are_free(
    anonymous: Client, database: Connection
) -> None:
    await anonymous.sign_up()
    tokens = await log_in(anonymous.http)
    await anonymous.http.patch("/v1/account", json={"username": "ada"}, headers=bearer(tokens))
    await database.execute("INSERT INTO identities (issuer, subject, account_id) SELECT 'i', 's', id FROM accounts")
    assert (await delete(anonymous.http, tokens)).status_code == 204
    answers = [
        await anonymous.http.get("/v1/account", headers=bearer(tokens)),
        await anonymous.http.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]}),
        await anonymous.http.post("/v1/auth/login", json={"login": EMAIL, "password": PASSWORD}),
        await anonymous.http.post("/login", json={"email": EMAIL, "password": PASSWORD}),
        await anonymous.get("/v1/usage"),
        await anonymous.detect(),
    ]
    assert [answer.status_code for answer in answers] == [401] * 6
    assert await (await database.execute("SELECT count(*) FROM identities")).fetchone() == (0,)
    query = "SELECT status, deleted_at IS NOT NULL, password_hash FROM accounts"
    assert await (await database.execute(query)).fetchone() == ("deleted", True, None)
    anew = await register(anonymous.http, username="ADA")
    assert (await log_in(anonymous.http))["account"]["id"] == anew["id"]


async def test_an_older_session_needs_the_password(anonymous: Client, database: Connection) -> None:
    await register(anonymous.http)
    tokens = await log_in(anonymous.http)
    await age_sessions(database)
    for body in (None, {}, {"password": None}):
        refused = await delete(anonymous.http, tokens, body)
        assert refused.status_code == 403
        assert refused.json()["code"] == "fresh_sign_in_needed"
    wrong = await delete(anonymous.http, tokens, {"password": "not the password"})
    assert wrong.status_code == 403
    assert wrong.json()["code"] == "invalid_credentials"
    assert (await delete(anonymous.http, tokens, {"password": PASSWORD, "id": "x"})).status_code == 400
    assert (await delete(anonymous.http, tokens, {"password": PASSWORD})).status_code == 204


async def test_a_key_needs_the_password(anonymous: Client, database: Connection) -> None:
    await anonymous.sign_up()
    await database.execute("UPDATE api_keys SET scopes = '{account}'")
    headers = anonymous.headers()
    assert (await anonymous.http.delete("/v1/account", headers=headers)).status_code == 403
    body = {"password": PASSWORD}
    assert (await anonymous.http.request("DELETE", "/v1/account", headers=headers, json=body)).status_code == 204


async def test_the_last_active_super_admin_stays(anonymous: Client, database: Connection) -> None:
    await register(anonymous.http, "first@example.org")
    await register(anonymous.http, "second@example.org")
    await register(anonymous.http, "third@example.org")
    await database.execute("UPDATE accounts SET role = 'super_admin'")
    await database.execute("UPDATE accounts SET status = 'suspended' WHERE email = 'third@example.org'")
    people = [await log_in(anonymous.http, name) for name in ("first@example.org", "second@example.org")]
    answers = await asyncio.gather(*(delete(anonymous.http, tokens) for tokens in people))
    assert sorted(answer.status_code for answer in answers) == [204, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["code"] == "last_admin"
    query = "SELECT count(*) FROM accounts WHERE role = 'super_admin' AND status = 'active'"
    assert await (await database.execute(query)).fetchone() == (1,)


async def test_history_of_a_deleted_account_stays_out_of_reach(anonymous: Client, database: Connection) -> None:
    await anonymous.sign_up()
    detection_id = (await anonymous.detect()).json()["id"]
    assert (await delete(anonymous.http, await log_in(anonymous.http))).status_code == 204
    await anonymous.sign_up()
    assert (await anonymous.get(f"/v1/detections/{detection_id}")).status_code == 404
    assert await (await database.execute("SELECT count(*) FROM detections")).fetchone() == (1,)
