"""Contract B, spoken as its document says: who signs in, and who may call from where and how often."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest

from bentos.contract import Modality
from gateway.app import build_app
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import running_app
from tests.fixtures.site import USER, Site, assert_error

pytestmark = pytest.mark.integration


async def test_register_answers_201_and_a_user_with_a_whole_number_as_id(visitor: Site) -> None:
    answer = await visitor.register()
    assert answer.status_code == 201
    body = answer.json()
    assert body["success"] is True
    assert body["message"]
    assert type(body["user"]["id"]) is int
    assert (body["user"]["username"], body["user"]["email"]) == ("ada", "ada@example.org")
    assert "password" not in answer.text


@pytest.mark.parametrize("taken", [{"email": "other@example.org"}, {"username": "other"}, {"username": "ADA"}])
async def test_a_name_that_is_taken_is_refused(visitor: Site, taken: dict[str, str]) -> None:
    await visitor.register()
    assert_error(await visitor.register(**taken), 400)


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": "no address"},
        {"password": "short"},
        {"username": "a b"},
        {"username": "ada@example.org"},
        {"role": "super_admin"},
    ],
)
async def test_a_bad_registration_is_400(visitor: Site, wrong: dict[str, str]) -> None:
    assert_error(await visitor.register(**wrong), 400)


async def test_login_answers_a_token_that_lives_for_24_hours(visitor: Site) -> None:
    await visitor.register()
    answer = await visitor.login()
    assert answer.status_code == 200
    body = answer.json()
    assert body["success"] is True
    assert body["user"]["username"] == "ada"
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 24 * 3600
    assert claims["exp"] - time.time() == pytest.approx(24 * 3600, abs=30)


async def test_the_token_is_good_for_24_hours_however_short_sessions_are(
    gateway_settings: GatewaySettings, bentos: dict[Modality, Script], database: Any
) -> None:
    assert bentos
    hasty = gateway_settings.model_copy(update={"refresh_token_s": 3600, "access_token_s": 60})
    async with running_app(build_app(hasty)) as app:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            visitor = Site(http)
            await visitor.register()
            assert (await visitor.login()).json()["expires_in"] == 24 * 3600
            await database.execute("UPDATE sessions SET expires_at = expires_at - interval '23 hours'")
            assert (await visitor.get("/api/stats")).status_code == 200
            await database.execute("UPDATE sessions SET expires_at = expires_at - interval '2 hours'")
            assert_error(await visitor.get("/api/stats"), 401)


async def test_login_also_takes_the_email_as_the_username(visitor: Site) -> None:
    await visitor.register()
    assert (await visitor.login("ADA@example.org")).status_code == 200


@pytest.mark.parametrize("who", [("ada", "not the password"), ("nobody", USER["password"]), ("", "")])
async def test_a_wrong_login_is_401(visitor: Site, who: tuple[str, str]) -> None:
    await visitor.register()
    answer = await visitor.login(*who)
    assert_error(answer, 400 if who[0] == "" else 401)


async def test_too_many_wrong_logins_are_429(visitor: Site) -> None:
    answers = [await visitor.login("somebody", "not the password") for _ in range(8)]
    assert_error(answers[0], 401)
    assert_error(answers[-1], 429)
    assert int(answers[-1].headers["retry-after"]) >= 1


async def test_me_answers_the_user_of_the_token(site: Site) -> None:
    answer = await site.get("/api/auth/me")
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    assert answer.json()["user"]["email"] == "ada@example.org"


CALLS: list[Callable[[Site], Any]] = [
    lambda site: site.image(),
    lambda site: site.video(),
    lambda site: site.camera(),
    lambda site: site.get("/api/history"),
    lambda site: site.get("/api/stats"),
    lambda site: site.get("/api/auth/me"),
]


@pytest.mark.parametrize("call", CALLS)
async def test_without_a_valid_token_it_is_401(site: Site, call: Callable[[Site], Any]) -> None:
    head, body, _ = site.token.split(".")
    for token in ("", "nonsense", f"{head}.{body}.AAAA", jwt.encode({"sub": "1"}, "k" * 32)):
        site.token = token
        assert_error(await call(site), 401)


async def test_over_the_daily_limit_it_is_429(site: Site, database: Any) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 2")
    assert (await site.image()).status_code == 200
    assert (await site.camera()).status_code == 200
    for answer in (await site.image(), await site.video(), await site.camera()):
        assert_error(answer, 429)
        assert 0 < int(answer.headers["retry-after"]) <= 86400


@pytest.mark.parametrize("origin", [f"http://localhost:{port}" for port in (5173, 3000, 3001, 8501)])
async def test_browsers_may_call_from_where_these_clients_run(visitor: Site, origin: str) -> None:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, x-api-key, content-type",
    }
    preflight = await visitor.http.options("/api/detect/image", headers=asked)
    assert preflight.status_code in {200, 204}
    assert preflight.headers["access-control-allow-origin"] == origin
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "x-api-key" in allowed
    refused = await visitor.http.get("/api/history", headers={"origin": origin})
    assert_error(refused, 401)
    assert refused.headers["access-control-allow-origin"] == origin
    elsewhere = await visitor.http.get("/api/history", headers={"origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in elsewhere.headers
