"""Contract C, as far as it is served: health, and who is signed in."""

from uuid import UUID

import httpx
import pytest

from bentos.contract import Modality
from gateway.app import build_app
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from scripts.stack.ports import free_port
from tests.fixtures.gateway import Client, running_app

pytestmark = pytest.mark.integration

EMAIL = "front-end@example.org"
PASSWORD = "a long enough password"


async def test_health_says_which_service_it_is(anonymous: Client) -> None:
    answer = await anonymous.http.get("/health")
    assert answer.status_code == 200
    assert answer.json().keys() >= {"status", "service", "version", "environment"}
    assert answer.json()["status"] == "healthy"
    assert all(isinstance(value, str) for value in answer.json().values())


async def test_live_and_ready_are_200_while_the_database_answers(anonymous: Client) -> None:
    assert (await anonymous.http.get("/health/live")).status_code == 200
    ready = await anonymous.http.get("/health/ready")
    assert ready.status_code == 200
    assert (ready.json()["status"], ready.json()["database"]) == ("ready", "connected")


async def test_ready_is_503_and_says_what_is_missing_where_the_database_is_away(
    gateway_settings: GatewaySettings, bentos: dict[Modality, Script]
) -> None:
    assert bentos
    away = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/nothing"
    settings = GatewaySettings.model_validate({**gateway_settings.model_dump(), "database_url": away})
    async with running_app(build_app(settings)) as app:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            ready = await http.get("/health/ready")
            assert ready.status_code == 503
            assert (ready.json()["status"], ready.json()["database"]) == ("not_ready", "disconnected")
            assert (await http.get("/health/live")).status_code == 200
            assert (await http.get("/health")).status_code == 200


async def test_me_says_whose_token_it_is(anonymous: Client) -> None:
    http = anonymous.http
    user = {"email": EMAIL, "password": PASSWORD}
    assert (await http.post("/api/auth/register", json=user)).status_code == 201
    token = (await http.post("/api/auth/login", json=user)).json()["access_token"]
    answer = await http.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["email"], body["authenticated"]) == (EMAIL, True)
    assert str(UUID(body["id"])) == body["id"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}])
async def test_without_a_valid_token_me_is_401(anonymous: Client, headers: dict[str, str]) -> None:
    answer = await anonymous.http.get("/auth/me", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["success"] is False
    assert answer.json()["detail"]
