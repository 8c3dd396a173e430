from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import psycopg
import pytest

import gateway.issuers.keys
from tests.fixtures.forgeries import FORGERIES
from tests.fixtures.identity_provider import CLIENT_ID, IdentityProvider
from tests.fixtures.page import PAGE, Page, count

pytestmark = pytest.mark.integration


WRONG_CLAIMS: list[dict[str, Any]] = [
    {"nonce": "another"},
    {"nonce": None},
    {"aud": "another client"},
    {"aud": None},
    {"aud": [CLIENT_ID, "another client"]},
    {"azp": "another client"},
    {"iss": "https://elsewhere.example.org"},
    {"iss": None},
    {"exp": 1_000_000_000},
    {"exp": None},
    {"iat": None},
    {"nbf": 9_000_000_000},
    {"sub": None},
    {"sub": ""},
    {"sub": "x" * 256},
    {"sub": "a\x00b"},
]


async def test_an_id_token_with_a_wrong_claim_is_refused(
    page: Page, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    for wrong in WRONG_CLAIMS:
        identity_provider.claims = wrong
        assert await page.fragment() == {"error": "sign_in_refused"}, wrong
    assert await count(database, "accounts") == 0


async def test_several_audiences_are_fine_where_we_are_the_authorised_party(
    page: Page, identity_provider: IdentityProvider
) -> None:
    identity_provider.claims = {"aud": [CLIENT_ID, "another client"], "azp": CLIENT_ID}
    assert (await page.sign_in()).status_code == 200


async def test_a_forged_id_token_is_refused(
    page: Page, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    for name, forge in FORGERIES.items():
        identity_provider.forge = forge
        assert await page.fragment() == {"error": "sign_in_refused"}, name
    assert await count(database, "accounts") == 0
    assert identity_provider.hits["/evil"] == 0


async def test_the_code_of_the_provider_is_proven_with_the_verifier(
    page: Page, database: psycopg.AsyncConnection[Any]
) -> None:
    address = await page.come_back()
    await database.execute("UPDATE oidc_flows SET code_verifier = repeat('x', 43)")
    answer = await page.http.get(address)
    assert answer.headers["location"] == f"{PAGE}#error=sign_in_refused"


async def test_new_keys_of_the_provider_are_found(
    page: Page, identity_provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.issuers.keys, "INTERVAL_S", 0.0)
    assert (await page.sign_in()).status_code == 200
    identity_provider.rotate()
    assert (await page.sign_in()).status_code == 200
    assert identity_provider.hits["/jwks"] == 2
    assert identity_provider.hits["/.well-known/openid-configuration"] == 1


async def test_an_answer_in_the_name_of_another_issuer_is_refused(page: Page) -> None:
    address = urlsplit(await page.come_back())
    asked = {name: value for name, (value,) in parse_qs(address.query).items()}
    asked["iss"] = "https://elsewhere.example.org"
    answer = await page.http.get(f"{address.path}?{urlencode(asked)}")
    assert answer.headers["location"] == f"{PAGE}#error=sign_in_refused"


async def test_a_provider_that_does_not_answer_is_no_fault_of_the_caller(
    page: Page, identity_provider: IdentityProvider
) -> None:
    address = await page.come_back()
    identity_provider.trouble["/token"] = 500
    answer = await page.http.get(address)
    assert answer.headers["location"] == f"{PAGE}#error=issuer_unavailable"
    del identity_provider.trouble["/token"]
    identity_provider.trouble["/jwks"] = 503
    assert await page.fragment() == {"error": "issuer_unavailable"}


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://elsewhere.example.org"},
        {"token_endpoint": "http://elsewhere.example.org/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": 5},
    ],
    ids=str,
)
async def test_a_discovery_document_that_cannot_be_right_is_not_used(
    page: Page, identity_provider: IdentityProvider, document: dict[str, Any]
) -> None:
    identity_provider.document = document
    for _ in range(3):
        answer = await page.start()
        assert answer.status_code == 503
        assert answer.json()["code"] == "issuer_unavailable"
        assert answer.headers["retry-after"]
    assert identity_provider.hits["/.well-known/openid-configuration"] == 1


async def test_a_client_may_send_its_secret_in_the_form(page: Page, identity_provider: IdentityProvider) -> None:
    identity_provider.document = {
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "id_token_signing_alg_values_supported": 5,
    }
    assert (await page.sign_in()).status_code == 200
