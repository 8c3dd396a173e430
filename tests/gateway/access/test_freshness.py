"""What gives somebody a lasting way in takes a sign-in of just now, and no key."""

from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from gateway.issuers.configuration import TrustedIssuer
from gateway.settings import GatewaySettings
from tests.fixtures.accounts import bearer, log_in, register
from tests.fixtures.authenticator import Authenticator
from tests.fixtures.gateway import PASSWORD, Client
from tests.fixtures.issued import AUDIENCE, ISSUER, SECRET, issued
from tests.fixtures.passkeys import Owner

pytestmark = pytest.mark.integration

Connection = psycopg.AsyncConnection[Any]

REDEMPTION = {"code": "x" * 43, "verifier": "x" * 64}
WAYS_IN = [
    ("POST", "/v1/account/passkeys/register", None),
    ("POST", "/v1/account/passkeys/register/verify", None),
    ("POST", "/api/auth/passkeys/register", None),
    ("POST", "/api/auth/passkeys/register/verify", None),
    ("POST", "/v1/account/identities", REDEMPTION),
    ("DELETE", "/v1/account", None),
]


@pytest.fixture
def gateway_settings(gateway_settings: GatewaySettings) -> GatewaySettings:
    """With an outside issuer."""
    trusted = TrustedIssuer(issuer=ISSUER, audience=AUDIENCE, secret=SecretStr(SECRET), leeway_s=30)
    return gateway_settings.model_copy(update={"issuers": [trusted]})


def code_of(answer: httpx.Response) -> str:
    body = answer.json()
    return body.get("code") or body["error"]["code"]


async def call(http: httpx.AsyncClient, way: tuple[str, str, Any], headers: dict[str, str]) -> httpx.Response:
    method, path, body = way
    return await http.request(method, path, headers=headers, json=body)


@pytest.mark.parametrize("way", WAYS_IN, ids=lambda way: f"{way[0]} {way[1]}")
async def test_a_key_with_the_scope_gets_no_lasting_way_in(
    anonymous: Client, database: Connection, way: tuple[str, str, Any]
) -> None:
    await anonymous.sign_up()
    await database.execute("UPDATE api_keys SET scopes = '{account}'")
    answer = await call(anonymous.http, way, anonymous.headers())
    assert answer.status_code == 403, answer.text
    assert code_of(answer) == "fresh_sign_in_needed"


async def test_a_key_with_the_scope_needs_the_password_to_change_it_and_opens_no_session(
    anonymous: Client, database: Connection
) -> None:
    await anonymous.sign_up()
    await database.execute("UPDATE api_keys SET scopes = '{account}'")
    change = {"current_password": "not the password", "new_password": "battery staple"}
    answer = await anonymous.http.post("/v1/account/password", json=change, headers=anonymous.headers())
    assert (answer.status_code, code_of(answer)) == (403, "invalid_credentials")
    answer = await anonymous.http.post("/v1/keys", json={"name": "more"}, headers=anonymous.headers())
    assert (answer.status_code, code_of(answer)) == (403, "missing_scope")


@pytest.mark.parametrize("way", WAYS_IN, ids=lambda way: f"{way[0]} {way[1]}")
async def test_a_session_left_open_gets_no_lasting_way_in(
    anonymous: Client, database: Connection, way: tuple[str, str, Any]
) -> None:
    await register(anonymous.http)
    headers = bearer(await log_in(anonymous.http))
    await database.execute("UPDATE sessions SET created_at = created_at - interval '16 minutes'")
    answer = await call(anonymous.http, way, headers)
    assert answer.status_code == 403, answer.text
    assert code_of(answer) == "fresh_sign_in_needed"
    answer = await call(anonymous.http, way, bearer(await log_in(anonymous.http)))
    assert answer.status_code != 403


async def test_a_passkey_begun_in_time_is_finished(anonymous: Client, database: Connection) -> None:
    await register(anonymous.http)
    owner = Owner(anonymous.http, (await log_in(anonymous.http))["access_token"])
    made = Authenticator().create(await owner.options())
    await database.execute("UPDATE sessions SET created_at = created_at - interval '14 minutes'")
    answer = await owner.call("POST", "/register/verify", {"credential": made, "name": "Phone"})
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": None},
        {"iat": -3600},
        {"auth_time": -3600},
        {"auth_time": 3600},
        {"auth_time": "now"},
        {"auth_time": None},
    ],
)
async def test_an_outside_token_that_is_not_recent_ends_no_account(anonymous: Client, claims: dict[str, Any]) -> None:
    answer = await anonymous.http.delete("/v1/account", headers=issued(**claims))
    assert (answer.status_code, code_of(answer)) == (403, "fresh_sign_in_needed")
    answer = await anonymous.http.post("/v1/account/passkeys/register", headers=issued(**claims))
    assert (answer.status_code, code_of(answer)) == (403, "fresh_sign_in_needed")


@pytest.mark.parametrize("claims", [{}, {"iat": -300}, {"auth_time": -300}])
async def test_the_user_of_an_outside_issuer_adds_a_passkey_and_ends_the_account(
    anonymous: Client, database: Connection, claims: dict[str, Any]
) -> None:
    answer = await anonymous.http.post("/v1/account/passkeys/register", headers=issued(**claims))
    assert answer.status_code == 200, answer.text
    assert (await anonymous.http.delete("/v1/account", headers=issued(**claims))).status_code == 204
    assert await (await database.execute("SELECT status FROM accounts")).fetchall() == [("deleted",)]


async def test_who_has_a_password_confirms_with_it(anonymous: Client, database: Connection) -> None:
    await register(anonymous.http)
    headers = bearer(await log_in(anonymous.http))
    await database.execute("UPDATE sessions SET created_at = created_at - interval '16 minutes'")
    body = {"password": PASSWORD}
    assert (await anonymous.http.request("DELETE", "/v1/account", headers=headers, json=body)).status_code == 204
