"""Bodies that are nested without end are refused like any other that is not valid."""

import pytest

from tests.fixtures.authenticator import Authenticator, encode
from tests.fixtures.gateway import EMAIL, PASSWORD, Client
from tests.fixtures.passkeys import LOGIN, owner_of

pytestmark = pytest.mark.integration

DEEP = "[" * 5000 + "]" * 5000
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "path", ["/v1/auth/passkeys/login/verify", "/api/auth/passkeys/login/verify", "/v1/auth/login", "/signup"]
)
@pytest.mark.parametrize("body", ['{"credential": {"x": %s}}', '{"x": %s}', "%s"])
async def test_a_body_that_is_nested_too_deeply_is_400(anonymous: Client, path: str, body: str) -> None:
    answer = await anonymous.http.post(path, headers=JSON, content=body % DEEP)
    assert answer.status_code == 400, answer.text
    told = answer.json()
    assert (told["code"] if path.startswith("/v1") else told["error"]["code"]) == "invalid_body"


async def test_so_is_one_where_a_passkey_is_added(anonymous: Client) -> None:
    owner = await owner_of(anonymous.http, EMAIL)
    for path in ("/v1/account/passkeys/register/verify", "/api/auth/passkeys/register/verify"):
        headers = JSON | {"authorization": f"Bearer {owner.token}"}
        body = f'{{"credential": {{"x": {DEEP}}}, "password": "{PASSWORD}"}}'
        answer = await anonymous.http.post(path, headers=headers, content=body)
        assert answer.status_code == 400, answer.text


async def test_client_data_that_is_nested_too_deeply_is_no_answer_to_a_challenge(anonymous: Client) -> None:
    options = (await anonymous.http.post(LOGIN)).json()
    credential = Authenticator().get(options)
    credential["response"]["clientDataJSON"] = encode(f'{{"x": {DEEP}}}'.encode())
    answer = await anonymous.http.post(f"{LOGIN}/verify", json={"credential": credential})
    assert answer.status_code == 401, answer.text
    assert answer.json()["code"] == "invalid_passkey"
