from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.app import build_app
from gateway.db.engine import open_database
from gateway.limits.addresses import subject_of
from gateway.settings import GatewaySettings
from gateway.upkeep import Expiry
from tests.fixtures.gateway import PASSWORD, running_app

pytestmark = pytest.mark.integration

CALLS = {
    "/v1/auth/register": lambda place: {"email": f"one-{place}@example.org", "password": PASSWORD},
    "/signup": lambda place: {"email": f"two-{place}@example.org", "password": PASSWORD},
    "/api/auth/register": lambda place: {"email": f"three-{place}@example.org", "password": PASSWORD},
    "/v1/auth/passkeys/login": lambda _: {},
    "/api/auth/passkeys/login": lambda _: {},
}


@asynccontextmanager
async def asking(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client at one address."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        yield http


@pytest.mark.parametrize("path", CALLS)
async def test_an_address_may_call_only_so_often(path: str, gateway_settings: GatewaySettings, bentos: Any) -> None:
    assert bentos
    settings = gateway_settings.model_copy(update={"anonymous_burst": 3})
    async with running_app(build_app(settings)) as app, asking(app) as http:
        answers = [await http.post(path, json=CALLS[path](place)) for place in range(4)]
    assert [answer.status_code for answer in answers[:3]] == [answers[0].status_code] * 3
    assert answers[0].is_success
    assert answers[3].status_code == 429
    assert 1 <= int(answers[3].headers["retry-after"]) <= 20
    assert "too_many_attempts" in answers[3].text


async def test_who_is_signed_in_is_not_counted(gateway_settings: GatewaySettings, bentos: Any, client: Any) -> None:
    assert bentos
    settings = gateway_settings.model_copy(update={"anonymous_burst": 1})
    async with running_app(build_app(settings)) as app, asking(app) as http:
        for _ in range(5):
            assert (await http.get("/v1/usage", headers=client.headers())).status_code == 200


def test_addresses_of_one_network_count_as_one() -> None:
    assert subject_of("2001:db8::1") == subject_of("2001:db8::ffff:1")
    assert subject_of("2001:db8::1") != subject_of("2001:db8:0:1::1")
    assert subject_of("192.0.2.1") != subject_of("192.0.2.2")


async def test_meters_of_addresses_are_swept_and_those_of_accounts_stay(
    gateway_settings: GatewaySettings, client: Any, database: Any
) -> None:
    assert (await client.detect()).status_code == 200
    await database.execute("SELECT take_slot(%s, 3, 60)", (subject_of("192.0.2.1"),))
    await database.execute("UPDATE meters SET arrival_at = now() - interval '2 days'")
    async with open_database(gateway_settings) as opened:
        assert await Expiry(opened.pool).sweep() == 1
    assert await (await database.execute("SELECT charged FROM meters")).fetchall() == [(1,)]
