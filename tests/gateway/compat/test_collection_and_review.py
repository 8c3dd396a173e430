"""Contract D, as far as it is served: its sign-in with verified e-mails, and the list of users for super_admins."""

import json
import re
from typing import Any

import httpx
import psycopg
import pytest

from bentos.contract import Modality
from gateway.app import build_app
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from tests.fixtures.accounts import mails
from tests.fixtures.gateway import Client, running_app

pytestmark = pytest.mark.integration

EMAIL = "lead@example.org"
PASSWORD = "a long enough password"
LINK = re.compile(r"https?://\S+(/api/auth/verify-email\?token=\S+)")


def assert_error(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert {"type", "message", "code", "requestId"} <= error.keys()
    assert error["requestId"] == answer.headers["x-request-id"]


async def register(http: httpx.AsyncClient, email: str = EMAIL) -> httpx.Response:
    return await http.post("/api/auth/register", json={"email": email, "password": PASSWORD})


async def login(http: httpx.AsyncClient, email: str = EMAIL, password: str = PASSWORD) -> httpx.Response:
    return await http.post("/api/auth/login", json={"email": email, "password": password})


async def bearer(http: httpx.AsyncClient, email: str = EMAIL) -> dict[str, str]:
    return {"Authorization": f"Bearer {(await login(http, email)).json()['access_token']}"}


async def test_register_login_and_me_work_without_a_username(anonymous: Client) -> None:
    made = await register(anonymous.http)
    assert made.status_code == 201
    assert made.json()["user"]["email"] == EMAIL
    answer = await login(anonymous.http)
    assert answer.status_code == 200
    assert answer.json()["refresh_token"]
    me = await anonymous.http.get("/api/auth/me", headers=await bearer(anonymous.http))
    assert me.status_code == 200
    assert me.json()["user"] == answer.json()["user"]
    assert me.json()["user"]["role"] == "user"
    assert_error(await register(anonymous.http), 400)
    assert_error(await login(anonymous.http, password="not the password"), 401)
    assert_error(await anonymous.http.get("/api/auth/me"), 401)


async def test_the_link_in_the_mail_verifies_the_email_once(anonymous: Client, database: Any) -> None:
    assert (await register(anonymous.http)).json()["user"]["email_verified"] is False
    [mail] = await mails(database, EMAIL)
    [path] = LINK.findall(mail["text"])
    answer = await anonymous.http.get(path)
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    me = await anonymous.http.get("/api/auth/me", headers=await bearer(anonymous.http))
    assert me.json()["user"]["email_verified"] is True
    assert_error(await anonymous.http.get(path), 400)


@pytest.mark.parametrize("query", ["", "?token=", "?token=nonsense", "?token=" + "x" * 500])
async def test_a_token_that_was_never_mailed_is_400(anonymous: Client, query: str) -> None:
    assert_error(await anonymous.http.get(f"/api/auth/verify-email{query}"), 400)


async def test_where_the_deployment_wants_it_nobody_logs_in_unverified(
    gateway_settings: GatewaySettings, bentos: dict[Modality, Script], database: Any
) -> None:
    assert bentos
    strict = gateway_settings.model_copy(update={"require_verified_email": True})
    async with running_app(build_app(strict)) as app:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            assert (await register(http)).status_code == 201
            assert_error(await login(http), 403)
            assert_error(await http.post("/login", json={"email": EMAIL, "password": PASSWORD}), 403)
            [path] = LINK.findall((await mails(database, EMAIL))[0]["text"])
            assert (await http.get(path)).status_code == 200
            assert (await login(http)).status_code == 200


async def make_admin(database: psycopg.AsyncConnection[Any], email: str = EMAIL) -> None:
    await database.execute("UPDATE accounts SET role = 'super_admin' WHERE email = %s", (email,))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"password": "a long enough password"}',
        b'{"email": "lead@example.org"}',
        b'{"email": "lead@example.org", "password": "x", "role": "super_admin"}',
        b'{"email": 5, "password": "x"}',
        b'{"username": "", "password": "x"}',
        b'{"email": "\xff", "password": "x"}',
    ],
)
async def test_a_login_that_is_malformed_is_400(anonymous: Client, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    assert_error(await anonymous.http.post("/api/auth/login", content=body, headers=headers), 400)


@pytest.mark.parametrize("name", ["\x00", "a\x00b", "\ud800@x.org", "x" * 200, "' OR 1=1 --"])
async def test_a_name_that_nobody_can_have_is_401(anonymous: Client, name: str) -> None:
    body = json.dumps({"username": name, "password": "\x00"})
    answer = await anonymous.http.post("/api/auth/login", content=body, headers={"content-type": "application/json"})
    assert_error(answer, 400 if "\ud800" in name else 401)


async def test_users_are_for_super_admins_only(anonymous: Client, database: Any) -> None:
    assert_error(await anonymous.http.get("/api/admin/users"), 401)
    await register(anonymous.http)
    headers = await bearer(anonymous.http)
    assert_error(await anonymous.http.get("/api/admin/users", headers=headers), 403)
    await make_admin(database)
    assert (await anonymous.http.get("/api/admin/users", headers=headers)).status_code == 200


async def test_users_come_page_by_page(anonymous: Client, database: Any) -> None:
    emails = [f"user-{number}@example.org" for number in range(4)] + [EMAIL]
    for email in emails:
        await register(anonymous.http, email)
    await make_admin(database)
    headers = await bearer(anonymous.http)
    first = (await anonymous.http.get("/api/admin/users?limit=3", headers=headers)).json()
    assert (first["count"], len(first["users"])) == (3, 3)
    rest = (await anonymous.http.get(f"/api/admin/users?limit=3&cursor={first['next_cursor']}", headers=headers)).json()
    assert rest["next_cursor"] is None
    listed = [*first["users"], *rest["users"]]
    assert [user["email"] for user in listed] == emails[::-1]
    assert {user["status"] for user in listed} == {"active"}
    assert [user["role"] for user in listed] == ["super_admin"] + ["user"] * 4
    assert not {"password", "password_hash"} & listed[0].keys()
    found = (await anonymous.http.get("/api/admin/users?search=user-2", headers=headers)).json()
    assert [user["email"] for user in found["users"]] == ["user-2@example.org"]
    assert_error(await anonymous.http.get("/api/admin/users?cursor=nonsense", headers=headers), 400)
    assert_error(await anonymous.http.get("/api/admin/users?limit=100000", headers=headers), 400)
    for search in ("%00", "a%00b", "a%0ab", "x" * 300):
        assert_error(await anonymous.http.get(f"/api/admin/users?search={search}", headers=headers), 400)
    odd = await anonymous.http.get("/api/admin/users?search=%25_%5C%ff%ed%a0%80", headers=headers)
    assert (odd.status_code, odd.json()["users"]) == (200, [])
