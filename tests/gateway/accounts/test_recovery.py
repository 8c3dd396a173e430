"""Verified e-mails, forgotten passwords, changed ones."""

from typing import Any

import httpx
import psycopg
import pytest

from gateway.settings import GatewaySettings
from tests.fixtures.accounts import bearer, elsewhere, fail, log_in, mailed_token, mails, register, write_letters
from tests.fixtures.gateway import EMAIL, PASSWORD, Client

pytestmark = pytest.mark.integration

NEW = "battery staple"
Connection = psycopg.AsyncConnection[Any]


async def ask(http: httpx.AsyncClient, path: str, email: str = EMAIL) -> httpx.Response:
    return await http.post(f"/v1/auth/{path}", json={"email": email})


async def reset(http: httpx.AsyncClient, token: str, password: str = NEW, **more: Any) -> httpx.Response:
    return await http.post("/v1/auth/password/reset", json={"token": token, "password": password, **more})


async def verify(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await http.post("/v1/auth/verify-email", json={"token": token})


async def forgotten(http: httpx.AsyncClient, database: Connection, settings: GatewaySettings) -> str:
    """The token of a password mail."""
    assert (await ask(http, "password/forgot")).status_code == 202
    await write_letters(database, settings)
    return await mailed_token(database)


async def age_tokens(database: Connection) -> None:
    await database.execute("UPDATE one_time_tokens SET created_at = created_at - interval '2 minutes'")


async def test_the_mailed_token_verifies_the_email_once(anonymous: Client, database: Connection) -> None:
    await register(anonymous.http)
    token = await mailed_token(database)
    assert (await verify(anonymous.http, token)).status_code == 204
    tokens = await log_in(anonymous.http)
    assert tokens["account"]["email_verified"] is True
    again = await verify(anonymous.http, token)
    assert again.status_code == 400
    assert again.json()["code"] == "invalid_one_time_token"
    query = "SELECT actor_id = target_id::uuid FROM audit_events WHERE action = 'account.verify_email'"
    assert await (await database.execute(query)).fetchall() == [(True,)]


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 200])
async def test_made_up_tokens_prove_nothing(anonymous: Client, token: str) -> None:
    await register(anonymous.http)
    assert (await verify(anonymous.http, token)).status_code == 400
    assert (await reset(anonymous.http, token)).status_code == 400


async def test_an_expired_token_and_one_for_another_purpose_prove_nothing(
    anonymous: Client, database: Connection
) -> None:
    await register(anonymous.http)
    token = await mailed_token(database)
    assert (await reset(anonymous.http, token)).status_code == 400
    await database.execute("UPDATE one_time_tokens SET expires_at = now()")
    assert (await verify(anonymous.http, token)).status_code == 400


async def test_a_token_proves_only_the_email_it_was_sent_to(anonymous: Client, database: Connection) -> None:
    await register(anonymous.http)
    token = await mailed_token(database)
    await database.execute("UPDATE accounts SET email = 'new@example.org'")
    assert (await verify(anonymous.http, token)).status_code == 400


async def test_tokens_are_kept_as_digests(anonymous: Client, database: Connection) -> None:
    await register(anonymous.http)
    token = await mailed_token(database)
    rows = str(await (await database.execute("SELECT * FROM one_time_tokens")).fetchall())
    rows += str(await (await database.execute("SELECT * FROM audit_events")).fetchall())
    assert token not in rows


async def test_a_new_verification_mail_voids_the_one_before_and_comes_once_a_minute(
    anonymous: Client, database: Connection, gateway_settings: GatewaySettings
) -> None:
    await register(anonymous.http)
    first = await mailed_token(database)
    assert (await ask(anonymous.http, "verify-email/resend", EMAIL.upper())).status_code == 202
    await write_letters(database, gateway_settings)
    assert len(await mails(database)) == 1
    await age_tokens(database)
    await ask(anonymous.http, "verify-email/resend")
    await ask(anonymous.http, "verify-email/resend")
    assert await write_letters(database, gateway_settings) == 2
    assert len(await mails(database)) == 2
    assert (await verify(anonymous.http, first)).status_code == 400
    assert (await verify(anonymous.http, await mailed_token(database))).status_code == 204
    await age_tokens(database)
    await ask(anonymous.http, "verify-email/resend")
    await write_letters(database, gateway_settings)
    assert len(await mails(database)) == 2


@pytest.mark.parametrize("path", ["password/forgot", "verify-email/resend"])
async def test_whether_there_is_an_account_shows_neither_in_the_answer_nor_in_the_work(
    anonymous: Client, database: Connection, gateway_settings: GatewaySettings, path: str
) -> None:
    await register(anonymous.http)
    await age_tokens(database)
    known, unknown = await ask(anonymous.http, path), await ask(anonymous.http, path, "nobody@example.org")
    assert known.status_code == unknown.status_code == 202
    assert known.text == unknown.text
    query = "SELECT task_name, queue_name FROM procrastinate_jobs WHERE task_name <> 'send_mail'"
    jobs = await (await database.execute(query)).fetchall()
    assert jobs == [("write_letter", "mail")] * 2
    assert await write_letters(database, gateway_settings) == 2
    assert len(await mails(database)) == 2
    assert await mails(database, "nobody@example.org") == []


async def test_who_asks_for_too_many_mails_has_to_wait(
    anonymous: Client, database: Connection, gateway_settings: GatewaySettings
) -> None:
    await ask(anonymous.http, "password/forgot")
    query = "UPDATE sign_in_failures SET failures = %s, last_failed_at = now() + interval '1 minute'"
    await database.execute(query, (gateway_settings.sign_in_tries_by_address,))
    assert (await ask(anonymous.http, "password/forgot")).status_code == 429
    assert (await ask(anonymous.http, "verify-email/resend")).status_code == 429
    async with elsewhere(anonymous, "192.0.2.1") as http:
        assert (await ask(http, "password/forgot")).status_code == 202


async def test_what_is_no_address_is_not_mailed_to(anonymous: Client) -> None:
    for email in ("no address", "a@b", "x" * 300):
        assert (await ask(anonymous.http, "password/forgot", email)).status_code == 400


async def test_a_forgotten_password_is_set_anew_once_and_closes_every_session(
    anonymous: Client, database: Connection, gateway_settings: GatewaySettings
) -> None:
    await anonymous.sign_up()
    await verify(anonymous.http, await mailed_token(database))
    tokens = await log_in(anonymous.http)
    token = await forgotten(anonymous.http, database, gateway_settings)
    assert (await reset(anonymous.http, token, "short")).status_code == 400
    assert (await reset(anonymous.http, token)).status_code == 204
    assert (await reset(anonymous.http, token)).status_code == 400
    assert (await anonymous.http.get("/v1/account", headers=bearer(tokens))).status_code == 401
    old = await anonymous.http.post("/v1/auth/login", json={"login": EMAIL, "password": PASSWORD})
    assert old.status_code == 401
    await log_in(anonymous.http, EMAIL, NEW)
    assert (await mails(database))[-1]["subject"] == "Your password was changed"


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize("more", [{}, {"keep_access": False}, {"keep_access": True}])
async def test_a_reset_ends_what_others_may_have_left_unless_a_proven_owner_keeps_it(
    anonymous: Client, database: Connection, gateway_settings: GatewaySettings, more: dict[str, bool], *, verified: bool
) -> None:
    await anonymous.sign_up()
    if verified:
        link = {"token": await mailed_token(database)}
        assert (await anonymous.http.get("/api/auth/verify-email", params=link)).status_code == 200
    await database.execute(
        """
        WITH added AS (
            INSERT INTO passkeys (account_id, credential_id, public_key, name) SELECT id, 'x', 'x', 'x' FROM accounts
        )
        INSERT INTO identities (issuer, subject, account_id) SELECT 'i', 's', id FROM accounts
        """
    )
    tokens = await log_in(anonymous.http)
    token = await forgotten(anonymous.http, database, gateway_settings)
    assert (await reset(anonymous.http, token, **more)).status_code == 204
    kept = verified and more.get("keep_access", False)
    assert (await anonymous.get("/v1/usage")).status_code == (200 if kept else 401)
    query = "SELECT (SELECT count(*) FROM passkeys), (SELECT count(*) FROM identities)"
    assert await (await database.execute(query)).fetchone() == ((1, 1) if kept else (0, 0))
    assert (await anonymous.http.get("/v1/account", headers=bearer(tokens))).status_code == 401
    account = (await log_in(anonymous.http, EMAIL, NEW))["account"]
    assert account["email_verified"] is True


async def test_a_changed_password_voids_the_mailed_token(
    anonymous: Client, database: Connection, gateway_settings: GatewaySettings
) -> None:
    await register(anonymous.http)
    token = await forgotten(anonymous.http, database, gateway_settings)
    change = {"current_password": PASSWORD, "new_password": NEW}
    headers = bearer(await log_in(anonymous.http))
    assert (await anonymous.http.post("/v1/account/password", json=change, headers=headers)).status_code == 204
    answer = await reset(anonymous.http, token, "another long one")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_one_time_token")
    await log_in(anonymous.http, EMAIL, NEW)


@pytest.mark.parametrize("status", ["suspended", "deleted"])
async def test_only_active_accounts_are_mailed(
    anonymous: Client, database: Connection, gateway_settings: GatewaySettings, status: str
) -> None:
    await register(anonymous.http)
    await age_tokens(database)
    await database.execute("UPDATE accounts SET status = %s", (status,))
    await ask(anonymous.http, "password/forgot")
    await ask(anonymous.http, "verify-email/resend")
    await write_letters(database, gateway_settings)
    assert len(await mails(database)) == 1


async def test_changing_the_password_asks_for_the_current_one_and_closes_other_sessions(
    anonymous: Client, database: Connection
) -> None:
    await anonymous.sign_up()
    here, there = await log_in(anonymous.http), await log_in(anonymous.http)
    wrong = {"current_password": "not the password", "new_password": NEW}
    answer = await anonymous.http.post("/v1/account/password", json=wrong, headers=bearer(here))
    assert answer.status_code == 403
    assert answer.json()["code"] == "invalid_credentials"
    right = {"current_password": PASSWORD, "new_password": NEW}
    short = await anonymous.http.post("/v1/account/password", json=right | {"new_password": "x"}, headers=bearer(here))
    assert short.status_code == 400
    answer = await anonymous.http.post("/v1/account/password", json=right, headers=bearer(here))
    assert answer.status_code == 204
    assert (await anonymous.http.get("/v1/account", headers=bearer(here))).status_code == 200
    assert (await anonymous.http.get("/v1/account", headers=bearer(there))).status_code == 401
    assert (await anonymous.get("/v1/usage")).status_code == 200
    assert (await mails(database))[-1]["subject"] == "Your password was changed"
    assert (await fail(anonymous.http)).status_code == 401
    await log_in(anonymous.http, EMAIL, NEW)


async def test_guessing_the_current_password_is_held_back(anonymous: Client, database: Connection) -> None:
    await register(anonymous.http)
    headers = bearer(await log_in(anonymous.http))
    wrong = {"current_password": "not the password", "new_password": NEW}
    for _ in range(5):
        assert (await anonymous.http.post("/v1/account/password", json=wrong, headers=headers)).status_code == 403
    await database.execute("UPDATE sign_in_failures SET last_failed_at = now() + interval '1 minute'")
    assert (await anonymous.http.post("/v1/account/password", json=wrong, headers=headers)).status_code == 429
    assert (
        await anonymous.http.request("DELETE", "/v1/account", json={"password": "x"}, headers=headers)
    ).status_code == 429


async def test_an_account_without_a_password_gets_one_by_mail_only(
    anonymous: Client, database: Connection, gateway_settings: GatewaySettings
) -> None:
    await register(anonymous.http)
    await verify(anonymous.http, await mailed_token(database))
    headers = bearer(await log_in(anonymous.http))
    await database.execute("UPDATE accounts SET password_hash = NULL")
    body = {"current_password": PASSWORD, "new_password": NEW}
    answer = await anonymous.http.post("/v1/account/password", json=body, headers=headers)
    assert answer.status_code == 409
    assert answer.json()["code"] == "no_password"
    assert (await reset(anonymous.http, await forgotten(anonymous.http, database, gateway_settings))).status_code == 204
    await log_in(anonymous.http, EMAIL, NEW)
