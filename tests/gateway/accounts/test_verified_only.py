"""Where the deployment wants verified e-mails, an account whose e-mail is not can be used in no way at all."""

from typing import Any

import psycopg
import pytest

from gateway.accounts.local import ensure_local_key
from gateway.settings import GatewaySettings
from tests.fixtures.accounts import bearer, log_in, mailed_token, register
from tests.fixtures.gateway import EMAIL, PASSWORD, Client

pytestmark = pytest.mark.integration

CREDENTIALS = {"email": EMAIL, "password": PASSWORD}
LOGIN = {"login": EMAIL, "password": PASSWORD}
Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
def gateway_settings(gateway_settings: GatewaySettings) -> GatewaySettings:
    return gateway_settings.model_copy(update={"require_verified_email": True})


async def verify(client: Client, database: Connection) -> None:
    answer = await client.http.post("/v1/auth/verify-email", json={"token": await mailed_token(database)})
    assert answer.status_code == 204


async def test_nobody_logs_in_before_the_email_is_verified(anonymous: Client, database: Connection) -> None:
    await register(anonymous.http)
    refused = [
        await anonymous.http.post("/v1/auth/login", json=LOGIN),
        await anonymous.http.post("/login", json=CREDENTIALS),
        await anonymous.http.post("/regenerate-key", json=CREDENTIALS),
    ]
    assert [answer.status_code for answer in refused] == [403] * 3
    assert refused[0].json()["code"] == "email_unverified"
    assert refused[1].json()["error"]["code"] == "email_unverified"
    wrong = await anonymous.http.post("/v1/auth/login", json=LOGIN | {"password": "not the password"})
    assert wrong.status_code == 401
    await verify(anonymous, database)
    await log_in(anonymous.http)
    assert (await anonymous.http.post("/login", json=CREDENTIALS)).status_code == 200


async def test_the_key_of_a_sign_up_works_from_the_verification_on(anonymous: Client, database: Connection) -> None:
    answer = await anonymous.http.post("/signup", json=CREDENTIALS)
    assert "confirmed your e-mail" in answer.json()["message"]
    anonymous.key = answer.json()["api_key"]
    refused = [
        await anonymous.detect(),
        await anonymous.detect(path="/predict_image"),
        await anonymous.get("/usage"),
        await anonymous.get("/v1/detections"),
    ]
    assert [answer.status_code for answer in refused] == [403] * 4
    assert refused[0].json()["code"] == "email_unverified"
    await verify(anonymous, database)
    assert (await anonymous.detect()).status_code == 200
    assert await anonymous.used() == 1


async def test_sessions_and_refresh_tokens_stop_with_it(anonymous: Client, database: Connection) -> None:
    await register(anonymous.http)
    await verify(anonymous, database)
    tokens = await log_in(anonymous.http)
    await database.execute("UPDATE accounts SET email_verified_at = NULL")
    assert (await anonymous.http.get("/v1/account", headers=bearer(tokens))).status_code == 403
    renewal = {"refresh_token": tokens["refresh_token"]}
    assert (await anonymous.http.post("/v1/auth/refresh", json=renewal)).status_code == 403


async def test_accounts_without_a_password_need_no_verification(
    anonymous: Client, gateway_settings: GatewaySettings
) -> None:
    anonymous.key = await ensure_local_key(gateway_settings.database_url.get_secret_value())
    assert (await anonymous.detect()).status_code == 200
