import pytest

from gateway.accounts.local import ensure_local_key
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import Client

pytestmark = pytest.mark.integration


async def test_the_local_account_gets_a_key_once_and_has_no_limit(
    anonymous: Client, gateway_settings: GatewaySettings
) -> None:
    url = gateway_settings.database_url.get_secret_value()
    first = await ensure_local_key(url)
    assert first is not None
    assert await ensure_local_key(url) is None
    anonymous.key = first
    assert (await anonymous.get("/v1/usage")).json()["day"]["limit"] is None
    second = await ensure_local_key(url, rotate=True)
    assert second not in {None, first}
    assert (await anonymous.get("/v1/usage")).status_code == 401
    anonymous.key = second
    assert (await anonymous.detect()).status_code == 200
    answer = await anonymous.http.post("/login", json={"email": "local@localhost", "password": ""})
    assert answer.status_code == 401
