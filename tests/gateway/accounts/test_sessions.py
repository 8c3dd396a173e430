"""Sessions and their families of refresh tokens."""

import asyncio
from datetime import timedelta
from typing import Any, LiteralString
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from gateway.access.tokens import read_access_token
from gateway.accounts.sessions import Sessions
from gateway.db.engine import open_database
from gateway.errors import AccountSuspendedError, InvalidTokenError
from gateway.settings import GatewaySettings
from tests.fixtures.accounts import bearer, log_in, register
from tests.fixtures.gateway import EMAIL, PASSWORD, Client

pytestmark = pytest.mark.integration


async def refresh(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await http.post("/v1/auth/refresh", json={"refresh_token": token})


async def is_alive(http: httpx.AsyncClient, tokens: dict[str, Any]) -> bool:
    return (await http.get("/v1/account", headers=bearer(tokens))).status_code == 200


async def test_a_refresh_token_is_exchanged_for_the_next(anonymous: Client) -> None:
    await register(anonymous.http)
    first = await log_in(anonymous.http)
    second = (await refresh(anonymous.http, first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["expires_in"] == 900
    third = await refresh(anonymous.http, second["refresh_token"])
    assert third.status_code == 200
    assert await is_alive(anonymous.http, third.json())


async def test_using_a_refresh_token_again_closes_the_session_with_all_its_tokens(
    anonymous: Client, database: psycopg.AsyncConnection[Any]
) -> None:
    await register(anonymous.http)
    other = await log_in(anonymous.http)
    first = await log_in(anonymous.http)
    second = (await refresh(anonymous.http, first["refresh_token"])).json()
    again = await refresh(anonymous.http, first["refresh_token"])
    assert again.status_code == 401
    assert again.json()["code"] == "invalid_refresh_token"
    assert not await is_alive(anonymous.http, first)
    assert not await is_alive(anonymous.http, second)
    assert (await refresh(anonymous.http, second["refresh_token"])).status_code == 401
    assert await is_alive(anonymous.http, other)
    query = "SELECT count(*) FROM audit_events WHERE action = 'session.close_reused'"
    assert await (await database.execute(query)).fetchone() == (1,)


async def test_of_simultaneous_uses_exactly_one_wins_and_the_family_dies(anonymous: Client) -> None:
    await register(anonymous.http)
    for _ in range(5):
        tokens = await log_in(anonymous.http)
        answers = await asyncio.gather(*(refresh(anonymous.http, tokens["refresh_token"]) for _ in range(6)))
        won = [answer.json() for answer in answers if answer.status_code == 200]
        assert len(won) == 1
        assert [answer.status_code for answer in answers].count(401) == 5
        assert not await is_alive(anonymous.http, won[0])
        assert (await refresh(anonymous.http, won[0]["refresh_token"])).status_code == 401


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 200, "é"])
async def test_what_is_no_refresh_token_is_refused(anonymous: Client, token: str) -> None:
    assert (await refresh(anonymous.http, token)).status_code == 401


async def test_an_access_token_is_no_refresh_token_nor_the_other_way_round(anonymous: Client) -> None:
    await register(anonymous.http)
    tokens = await log_in(anonymous.http)
    assert (await refresh(anonymous.http, tokens["access_token"][:200])).status_code == 401
    headers = {"authorization": f"Bearer {tokens['refresh_token']}"}
    assert (await anonymous.http.get("/v1/account", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("statement", "access"),
    [
        ("UPDATE sessions SET expires_at = now() - interval '1 second'", False),
        ("UPDATE refresh_tokens SET expires_at = now() - interval '1 second'", True),
    ],
)
async def test_what_has_expired_is_refused(
    anonymous: Client, database: psycopg.AsyncConnection[Any], statement: LiteralString, access: bool
) -> None:
    await register(anonymous.http)
    tokens = await log_in(anonymous.http)
    await database.execute(statement)
    assert (await refresh(anonymous.http, tokens["refresh_token"])).status_code == 401
    assert await is_alive(anonymous.http, tokens) is access


async def test_logging_out_kills_the_session_at_once_and_no_other(anonymous: Client) -> None:
    await register(anonymous.http)
    here, there = await log_in(anonymous.http), await log_in(anonymous.http)
    assert (await anonymous.http.post("/v1/auth/logout", headers=bearer(here))).status_code == 204
    assert not await is_alive(anonymous.http, here)
    assert (await refresh(anonymous.http, here["refresh_token"])).status_code == 401
    assert await is_alive(anonymous.http, there)


async def test_logging_out_everywhere_leaves_keys_alone(anonymous: Client) -> None:
    await anonymous.sign_up()
    here, there = await log_in(anonymous.http), await log_in(anonymous.http)
    assert (await anonymous.http.post("/v1/auth/logout-everywhere", headers=bearer(here))).status_code == 204
    assert not await is_alive(anonymous.http, here)
    assert not await is_alive(anonymous.http, there)
    assert (await anonymous.get("/v1/usage")).status_code == 200


async def test_open_sessions_are_listed_page_by_page(anonymous: Client) -> None:
    await register(anonymous.http)
    await register(anonymous.http, "other@example.org")
    await log_in(anonymous.http, "other@example.org")
    opened = [await log_in(anonymous.http) for _ in range(3)]
    closed = await log_in(anonymous.http)
    await anonymous.http.post("/v1/auth/logout", headers=bearer(closed))
    headers = bearer(opened[1])
    seen: list[dict[str, Any]] = []
    cursor = None
    for _ in range(3):
        parameters = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await anonymous.http.get("/v1/account/sessions", params=parameters, headers=headers)).json()
        seen += page["data"]
        cursor = page["next_cursor"]
    assert cursor is None
    assert [one["current"] for one in seen] == [False, True, False]
    assert {one["method"] for one in seen} == {"password"}
    assert {one["address"] for one in seen} == {"127.0.0.1"}
    assert all(one["client"].startswith("python-httpx") for one in seen)
    bad = await anonymous.http.get("/v1/account/sessions", params={"cursor": "x"}, headers=headers)
    assert bad.status_code == 400


async def test_one_session_closes_another_but_never_a_stranger_s(anonymous: Client) -> None:
    await register(anonymous.http)
    await register(anonymous.http, "other@example.org")
    here, there = await log_in(anonymous.http), await log_in(anonymous.http)
    stranger = await log_in(anonymous.http, "other@example.org")
    listed = (await anonymous.http.get("/v1/account/sessions", headers=bearer(here))).json()["data"]
    other_id = next(one["id"] for one in listed if not one["current"])
    path = f"/v1/account/sessions/{other_id}"
    assert (await anonymous.http.delete(path, headers=bearer(stranger))).status_code == 404
    assert await is_alive(anonymous.http, there)
    assert (await anonymous.http.delete(path, headers=bearer(here))).status_code == 204
    assert not await is_alive(anonymous.http, there)
    assert (await anonymous.http.delete(path, headers=bearer(here))).status_code == 404
    assert await is_alive(anonymous.http, here)


async def test_a_session_without_refresh_token_ends_with_its_access_token(
    anonymous: Client, gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    made = await register(anonymous.http)
    async with open_database(gateway_settings) as opened:
        tokens = await Sessions(opened.engine, gateway_settings).open(
            UUID(made["id"]),
            method="password",
            address="192.0.2.3",
            client="x" * 500,
            access_lifetime=timedelta(hours=24),
            with_refresh=False,
        )
    assert tokens.refresh_token is None
    assert tokens.expires_in == 86_400
    claims = read_access_token(tokens.access_token, key=gateway_settings.token_key.get_secret_value())
    assert claims.session_id == tokens.session_id
    query = "SELECT expires_at - created_at, length(client) FROM sessions WHERE id = %s"
    row = await (await database.execute(query, (tokens.session_id,))).fetchone()
    assert row == (timedelta(hours=24), 200)
    assert await (await database.execute("SELECT count(*) FROM refresh_tokens")).fetchone() == (0,)
    headers = {"authorization": f"Bearer {tokens.access_token}"}
    assert (await anonymous.http.get("/v1/account", headers=headers)).status_code == 200


async def test_no_session_opens_for_who_may_not_sign_in(
    anonymous: Client, gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    account_id = UUID((await register(anonymous.http))["id"])
    async with open_database(gateway_settings) as opened:
        sessions = Sessions(opened.engine, gateway_settings)

        async def open_for(whom: UUID) -> None:
            await sessions.open(whom, method="password", address=None, client="")

        await database.execute("UPDATE accounts SET status = 'suspended'")
        with pytest.raises(AccountSuspendedError):
            await open_for(account_id)
        await database.execute("UPDATE accounts SET status = 'deleted'")
        with pytest.raises(InvalidTokenError):
            await open_for(account_id)
        with pytest.raises(InvalidTokenError):
            await open_for(uuid4())


async def test_only_digests_of_refresh_tokens_are_kept(
    anonymous: Client, database: psycopg.AsyncConnection[Any]
) -> None:
    await register(anonymous.http)
    tokens = await log_in(anonymous.http, EMAIL)
    rows = str(await (await database.execute("SELECT * FROM refresh_tokens")).fetchall())
    rows += str(await (await database.execute("SELECT * FROM audit_events")).fetchall())
    assert tokens["refresh_token"] not in rows


async def test_logging_in_again_and_again_without_a_session_leaves_one_trace(
    anonymous: Client, database: psycopg.AsyncConnection[Any]
) -> None:
    await anonymous.sign_up()
    for _ in range(2):
        answer = await anonymous.http.post("/login", json={"email": EMAIL, "password": PASSWORD})
        assert answer.status_code == 200
    query = "SELECT method FROM sessions"
    assert await (await database.execute(query)).fetchall() == [("register",)]
    await database.execute("UPDATE sessions SET expires_at = expires_at - interval '16 days'")
    await anonymous.http.post("/login", json={"email": EMAIL, "password": PASSWORD})
    assert len(await (await database.execute(query)).fetchall()) == 2
