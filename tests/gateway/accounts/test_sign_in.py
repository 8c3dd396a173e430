"""Registering and logging in."""

import asyncio
import threading
from typing import Any
from uuid import UUID

import jwt
import psycopg
import pytest
from argon2 import PasswordHasher
from sqlalchemy import event

from gateway.accounts.passwords import Passwords
from gateway.accounts.service import Accounts
from gateway.db.engine import open_database
from gateway.errors import WrongPasswordError
from gateway.settings import GatewaySettings
from tests.fixtures.accounts import bearer, elsewhere, fail, log_in, mails, register
from tests.fixtures.gateway import EMAIL, PASSWORD, Client, eventually

pytestmark = pytest.mark.integration


async def test_an_account_is_made_and_knows_itself(anonymous: Client) -> None:
    made = await register(anonymous.http, username="Ada")
    assert made["email"] == EMAIL
    assert made["username"] == "Ada"
    assert made["email_verified"] is False
    assert made["role"] == "user"
    assert made["has_password"] is True
    tokens = await log_in(anonymous.http)
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 900
    assert tokens["account"] == made
    answer = await anonymous.http.get("/v1/account", headers=bearer(tokens))
    assert answer.status_code == 200
    assert answer.json() == made


@pytest.mark.parametrize("login", [EMAIL, EMAIL.upper(), "ada", "ADA"])
async def test_one_logs_in_by_email_or_username_in_whatever_case(anonymous: Client, login: str) -> None:
    made = await register(anonymous.http, username="Ada")
    assert (await log_in(anonymous.http, login))["account"]["id"] == made["id"]


@pytest.mark.parametrize(
    ("email", "username", "code"),
    [(EMAIL.upper(), "other", "email_taken"), ("other@example.org", "ADA", "username_taken")],
)
async def test_names_are_unique_in_whatever_case(anonymous: Client, email: str, username: str, code: str) -> None:
    await register(anonymous.http, username="Ada")
    body = {"email": email, "username": username, "password": PASSWORD}
    answer = await anonymous.http.post("/v1/auth/register", json=body)
    assert answer.status_code == 409
    assert answer.json()["code"] == code


@pytest.mark.parametrize(
    "changed",
    [
        {"email": "no address"},
        {"email": None},
        {"username": "a b"},
        {"username": "ada@example.org"},
        {"password": "short"},
        {"password": "x" * 257},
        {"role": "super_admin"},
        {"id": "01890000-0000-7000-8000-000000000000"},
        {"plan": "unlimited"},
        {"daily_limit": 1_000_000},
        {"email_verified": True},
    ],
)
async def test_a_registration_that_is_malformed_or_says_too_much_is_refused(
    anonymous: Client, changed: dict[str, Any]
) -> None:
    body = {"email": EMAIL, "password": PASSWORD} | changed
    answer = await anonymous.http.post("/v1/auth/register", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_new_account_is_mailed_a_token_and_has_a_primary_key_nobody_saw(
    anonymous: Client, database: psycopg.AsyncConnection[Any]
) -> None:
    made = await register(anonymous.http)
    assert [mail["subject"] for mail in await mails(database)] == ["Confirm your e-mail address"]
    keys = await (await database.execute("SELECT scopes, is_primary FROM api_keys")).fetchall()
    assert keys == [(["*"], True)]
    assert "sk-live" not in str(made)
    answer = await anonymous.http.post("/regenerate-key", json={"email": EMAIL, "password": PASSWORD})
    anonymous.key = answer.json()["api_key"]
    assert (await anonymous.detect()).status_code == 200


@pytest.mark.parametrize("login", ["nobody@example.org", "nobody", EMAIL, "no such name", "nul\x00@example.org"])
async def test_a_wrong_name_and_a_wrong_password_answer_the_same(anonymous: Client, login: str) -> None:
    await register(anonymous.http)
    answer = await fail(anonymous.http, login)
    assert answer.status_code == 401
    body = answer.json() | {"request_id": None}
    unknown = (await fail(anonymous.http, "somebody@example.com")).json() | {"request_id": None}
    assert body == unknown
    assert body["code"] == "invalid_credentials"


async def test_a_known_and_an_unknown_name_do_the_same_work(
    gateway_settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is called: each statement to the database, in its order, and the hash that is worked on."""
    calls: list[str] = []
    verify = PasswordHasher.verify

    def verifying(self: PasswordHasher, password_hash: str, password: str) -> bool:
        calls.append(f"argon2 {password_hash.rsplit('$', 2)[0]}")
        return verify(self, password_hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", verifying)
    passwords = Passwords()
    async with open_database(gateway_settings) as opened:
        accounts = Accounts(opened.engine, passwords, gateway_settings)
        await accounts.register(email=EMAIL, password=PASSWORD, username="ada")

        def executing(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            calls.append(statement)

        event.listen(opened.engine.sync_engine, "before_cursor_execute", executing)
        work: dict[str, list[str]] = {}
        for login in (EMAIL, "nobody@example.org", "ada", "nobody"):
            calls.clear()
            with pytest.raises(WrongPasswordError):
                await accounts.log_in(login, "not the password", address="192.0.2.1")
            work[login] = list(calls)
    passwords.close()
    assert len(work[EMAIL]) > 3
    assert work[EMAIL] == work["nobody@example.org"]
    assert work["ada"] == work["nobody"]


async def test_a_password_that_is_replaced_while_it_is_checked_lets_nobody_in(
    gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    passwords = Passwords()

    async def counted() -> bool:
        return await (await database.execute("SELECT FROM sign_in_failures")).fetchone() is not None

    async with open_database(gateway_settings) as opened:
        accounts = Accounts(opened.engine, passwords, gateway_settings)
        await accounts.register(email=EMAIL, password=PASSWORD)
        release = threading.Event()
        busy = [asyncio.create_task(passwords._work(release.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        login = asyncio.create_task(accounts.log_in(EMAIL, PASSWORD, address=None))
        await eventually(counted)
        await database.execute("UPDATE accounts SET password_hash = 'another'")
        release.set()
        with pytest.raises(WrongPasswordError):
            await login
        await asyncio.gather(*busy)
    passwords.close()


async def test_sign_ins_are_recorded_and_failures_too_without_what_was_typed(
    anonymous: Client, database: psycopg.AsyncConnection[Any]
) -> None:
    made = await register(anonymous.http)
    await fail(anonymous.http)
    await fail(anonymous.http, "nobody@example.org")
    tokens = await log_in(anonymous.http)
    query = "SELECT action, actor_kind, actor_id, address, target_id, after::text FROM audit_events ORDER BY id"
    rows = await (await database.execute(query)).fetchall()
    session = jwt.decode(tokens["access_token"], options={"verify_signature": False})["sid"]
    assert [row[:5] for row in rows] == [
        ("account.create", "anonymous", None, "127.0.0.1", made["id"]),
        ("session.refuse", "anonymous", None, "127.0.0.1", made["id"]),
        ("session.refuse", "anonymous", None, "127.0.0.1", None),
        ("session.open", "user", UUID(made["id"]), "127.0.0.1", session),
    ]
    assert "nobody@example.org" not in str(rows)


async def test_a_suspended_account_is_refused_everywhere_at_once(
    anonymous: Client, database: psycopg.AsyncConnection[Any]
) -> None:
    anonymous.key = await anonymous.sign_up()
    tokens = await log_in(anonymous.http)
    await database.execute("UPDATE accounts SET status = 'suspended'")
    answers = [
        await anonymous.http.get("/v1/account", headers=bearer(tokens)),
        await anonymous.http.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]}),
        await anonymous.http.post("/v1/auth/login", json={"login": EMAIL, "password": PASSWORD}),
        await anonymous.http.post("/login", json={"email": EMAIL, "password": PASSWORD}),
        await anonymous.http.post("/regenerate-key", json={"email": EMAIL, "password": PASSWORD}),
        await anonymous.get("/usage"),
        await anonymous.detect(),
    ]
    assert [answer.status_code for answer in answers] == [403] * 7
    await database.execute("UPDATE accounts SET status = 'active'")
    assert (await anonymous.http.get("/v1/account", headers=bearer(tokens))).status_code == 200
    renewed = await anonymous.http.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert renewed.status_code == 200


async def test_an_ordinary_key_does_not_reach_the_account(
    anonymous: Client, database: psycopg.AsyncConnection[Any]
) -> None:
    await anonymous.sign_up()
    calls = [
        ("GET", "/v1/account"),
        ("PATCH", "/v1/account"),
        ("DELETE", "/v1/account"),
        ("POST", "/v1/account/password"),
        ("GET", "/v1/account/sessions"),
        ("GET", "/v1/account/export"),
        ("POST", "/v1/auth/logout"),
        ("POST", "/v1/auth/logout-everywhere"),
    ]
    for method, path in calls:
        answer = await anonymous.http.request(method, path, headers=anonymous.headers())
        assert answer.status_code == 403, path
        assert answer.json()["code"] == "missing_scope"
        assert (await anonymous.http.request(method, path)).status_code == 401, path
    await database.execute("UPDATE api_keys SET scopes = '{account}'")
    assert (await anonymous.get("/v1/account")).status_code == 200
    assert (await anonymous.http.post("/v1/auth/logout", headers=anonymous.headers())).status_code == 404


async def test_one_takes_another_username_but_nothing_else(anonymous: Client) -> None:
    await register(anonymous.http, username="ada")
    await register(anonymous.http, "other@example.org", username="grace")
    headers = bearer(await log_in(anonymous.http))
    renamed = await anonymous.http.patch("/v1/account", json={"username": "Countess"}, headers=headers)
    assert renamed.status_code == 200
    assert renamed.json()["username"] == "Countess"
    await log_in(anonymous.http, "countess")
    assert (await fail(anonymous.http, "ada")).status_code == 401
    taken = await anonymous.http.patch("/v1/account", json={"username": "GRACE"}, headers=headers)
    assert taken.status_code == 409
    for body in ({"email": "new@example.org"}, {"username": "x"}, {"username": "ok", "role": "super_admin"}, {}):
        assert (await anonymous.http.patch("/v1/account", json=body, headers=headers)).status_code == 400


async def test_contract_a_and_v1_are_the_same_accounts(anonymous: Client) -> None:
    await anonymous.sign_up()
    async with elsewhere(anonymous, "192.0.2.9") as http:
        assert (await log_in(http))["account"]["email"] == EMAIL
        await register(http, "second@example.org")
        answer = await http.post("/login", json={"email": "second@example.org", "password": PASSWORD})
        assert answer.status_code == 200
