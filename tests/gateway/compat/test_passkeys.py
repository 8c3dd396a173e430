import pytest

from tests.fixtures.authenticator import Authenticator
from tests.fixtures.gateway import EMAIL, PASSWORD, Client

pytestmark = pytest.mark.integration

BASE = "/api/auth/passkeys"


@pytest.mark.parametrize("who", [None, {}, {"email": EMAIL}, {"username": EMAIL}])
async def test_a_client_of_the_review_api_registers_and_logs_in_with_a_passkey(
    anonymous: Client, who: dict[str, str] | None
) -> None:
    http = anonymous.http
    await http.post("/api/auth/register", json={"email": EMAIL, "password": PASSWORD})
    answer = await http.post("/api/auth/login", json={"email": EMAIL, "password": PASSWORD})
    bearer = {"authorization": f"Bearer {answer.json()['access_token']}"}
    authenticator = Authenticator()

    answer = await http.post(f"{BASE}/register", headers=bearer)
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    made = authenticator.create(answer.json()["options"])
    answer = await http.post(f"{BASE}/register/verify", headers=bearer, json={"credential": made})
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    assert answer.json()["verified"] is True

    answer = await http.post(f"{BASE}/login", json=who)
    assert answer.json()["success"] is True
    signed = authenticator.get(answer.json()["options"])
    answer = await http.post(f"{BASE}/login/verify", json={"credential": signed})
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    assert answer.json()["user"]["email"] == EMAIL
    bearer = {"authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await http.get("/api/auth/me", headers=bearer)).json()["user"]["email"] == EMAIL


async def test_refusals_have_the_body_that_these_clients_read(anonymous: Client) -> None:
    http = anonymous.http
    answer = await http.post(f"{BASE}/register")
    assert answer.status_code == 401
    options = (await http.post(f"{BASE}/login")).json()["options"]
    answer = await http.post(f"{BASE}/login/verify", json={"credential": Authenticator().get(options)})
    assert answer.status_code == 401
    assert answer.json()["success"] is False
    assert answer.json()["error"]["code"] == "invalid_passkey"
    assert answer.json()["error"]["requestId"] == answer.headers["x-request-id"]
