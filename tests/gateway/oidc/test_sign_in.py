import asyncio
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import psycopg
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from psycopg import sql
from pydantic import SecretStr

import gateway.issuers.keys
from gateway.oidc.configuration import OidcProvider
from gateway.settings import GatewaySettings
from tests.fixtures.forgeries import FORGERIES
from tests.fixtures.gateway import EMAIL, PASSWORD, Client
from tests.fixtures.identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider

pytestmark = pytest.mark.integration

PAGE = "https://app.example.org/signed-in?from=here"
BASE = "/v1/auth/oidc"


@pytest.fixture
def gateway_settings(gateway_settings: GatewaySettings, identity_provider: IdentityProvider) -> GatewaySettings:
    """With a provider, under two names."""
    providers = [
        OidcProvider(
            name=name,
            issuer=identity_provider.url,
            client_id=CLIENT_ID,
            client_secret=SecretStr(CLIENT_SECRET),
        )
        for name in ("home", "other")
    ]
    return gateway_settings.model_copy(update={"oidc_providers": providers, "origins": ["https://app.example.org"]})


@dataclass
class Page:
    """A page in a browser that signs somebody in."""

    http: httpx.AsyncClient
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    async def start(self, *, name: str = "home", back: bool = True) -> httpx.Response:
        challenge = create_s256_code_challenge(self.verifier)
        return await self.http.get(
            f"{BASE}/{name}/start", params={"return_to": PAGE, "challenge": challenge} if back else {}
        )

    async def come_back(self, **options: Any) -> str:
        """Out to the provider and back: the address of our callback, not yet called."""
        answer = await self.start(**options)
        assert answer.status_code == 302, answer.text
        async with httpx.AsyncClient() as elsewhere:
            answer = await elsewhere.get(answer.headers["location"])
        assert answer.status_code == 302, answer.text
        address = urlsplit(answer.headers["location"])
        return f"{address.path}?{address.query}"

    async def fragment(self) -> dict[str, str]:
        """What the page gets in the end."""
        answer = await self.http.get(await self.come_back())
        assert answer.status_code == 302, answer.text
        location = answer.headers["location"]
        assert location.startswith(f"{PAGE}#")
        return {name: value for name, (value,) in parse_qs(urlsplit(location).fragment).items()}

    async def code(self) -> str:
        fragment = await self.fragment()
        assert set(fragment) == {"code"}, fragment
        return fragment["code"]

    async def exchange(self, code: str) -> httpx.Response:
        return await self.http.post(f"{BASE}/exchange", json={"code": code, "verifier": self.verifier})

    async def sign_in(self) -> httpx.Response:
        return await self.exchange(await self.code())


@pytest.fixture
def page(anonymous: Client) -> Page:
    return Page(anonymous.http)


async def count(database: psycopg.AsyncConnection[Any], table: str) -> int:
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    row = await (await database.execute(query)).fetchone()
    assert row is not None
    return row[0]


async def bearer(http: httpx.AsyncClient, email: str = EMAIL) -> dict[str, str]:
    await http.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
    answer = await http.post("/v1/auth/login", json={"login": email, "password": PASSWORD})
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


async def test_providers_are_listed(page: Page, gateway_settings: GatewaySettings) -> None:
    answer = await page.http.get(BASE)
    assert answer.json()["data"][0] == {
        "name": "home",
        "title": "Home",
        "start_url": f"{gateway_settings.public_url}{BASE}/home/start",
    }


async def test_the_browser_is_sent_out_with_all_that_protects_it(
    page: Page, gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    answer = await page.start()
    asked = {name: value for name, (value,) in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    assert asked["redirect_uri"] == f"{gateway_settings.public_url}{BASE}/home/callback"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["code_challenge"]) == 43
    assert len(asked["state"]) >= 43
    assert len(asked["nonce"]) >= 43
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert f"path={BASE}" in cookie
    assert answer.headers["cache-control"] == "no-store"
    kept = await (await database.execute("SELECT state_digest FROM oidc_flows")).fetchone()
    assert kept is not None
    assert kept[0] != hashlib.sha256(asked["state"].encode()).digest()
    again = await page.start()
    assert again.headers["location"] != answer.headers["location"]


async def test_whoever_comes_first_gets_an_account_and_comes_back_to_it(
    page: Page, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    identity_provider.claims = {"email": EMAIL, "email_verified": True}
    first = await page.sign_in()
    assert first.status_code == 200, first.text
    account = first.json()["account"]
    assert account["email"] == EMAIL
    assert account["email_verified"] is True
    assert account["has_password"] is False
    assert first.json()["refresh_token"]
    identity_provider.claims = {"email": "renamed@example.org", "email_verified": True}
    second = await page.sign_in()
    assert second.json()["account"] == account
    assert await count(database, "accounts") == 1
    headers = {"authorization": f"Bearer {second.json()['access_token']}"}
    (identity,) = (await page.http.get("/v1/account/identities", headers=headers)).json()["data"]
    assert identity["provider"] == "home"
    assert identity["email"] == "renamed@example.org"
    assert await count(database, "oidc_flows") == 0
    assert await count(database, "sign_in_tickets") == 0


async def test_without_a_page_the_tokens_are_answered_where_the_browser_arrives(page: Page) -> None:
    answer = await page.http.get(await page.come_back(back=False))
    assert answer.status_code == 200
    assert answer.json()["access_token"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["access_token"] not in str(answer.url)


async def test_a_sign_in_ends_in_the_browser_that_began_it(page: Page, anonymous: Client) -> None:
    address = await page.come_back()
    cookies = dict(page.http.cookies)
    page.http.cookies.clear()
    assert (await anonymous.http.get(address)).json()["code"] == "sign_in_refused"
    (name,) = cookies
    page.http.cookies.set(name, "another")
    assert (await anonymous.http.get(address)).status_code == 401
    page.http.cookies.set(name, cookies[name])
    assert (await page.http.get(address)).status_code == 302


async def test_a_wrong_state_is_refused(page: Page) -> None:
    address = urlsplit(await page.come_back())
    for state in ("", "wrong", "x" * 43, "\u00e9", "x" * 201):
        asked = {name: value for name, (value,) in parse_qs(address.query).items()} | {"state": state}
        answer = await page.http.get(f"{address.path}?{urlencode(asked)}")
        assert answer.status_code in {400, 401}, state
        assert "location" not in answer.headers


async def test_a_sign_in_ends_once(page: Page) -> None:
    address = await page.come_back()
    cookies = dict(page.http.cookies)
    assert (await page.http.get(address)).status_code == 302
    assert (await page.http.get(address)).status_code == 401
    page.http.cookies.update(cookies)
    assert (await page.http.get(address)).status_code == 401


async def test_two_sign_ins_can_be_on_their_way_in_one_browser(page: Page) -> None:
    addresses = [await page.come_back() for _ in range(2)]
    for address in addresses:
        assert (await page.http.get(address)).status_code == 302


async def test_a_sign_in_ends_at_the_provider_where_it_began(page: Page) -> None:
    address = await page.come_back()
    assert (await page.http.get(address.replace("/home/", "/other/"))).status_code == 401
    assert (await page.http.get(address.replace("/home/", "/none/"))).status_code == 404
    assert (await page.http.get(f"{BASE}/none/start")).status_code == 404


async def test_a_sign_in_that_took_too_long_is_over(page: Page, database: psycopg.AsyncConnection[Any]) -> None:
    address = await page.come_back()
    await database.execute("UPDATE oidc_flows SET expires_at = now() - interval '1 second'")
    assert (await page.http.get(address)).status_code == 401
    code = await page.code()
    await database.execute("UPDATE sign_in_tickets SET expires_at = now() - interval '1 second'")
    assert (await page.exchange(code)).status_code == 401


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


async def test_our_code_is_good_once_and_only_for_the_page_that_began(page: Page) -> None:
    stranger = Page(page.http)
    code = await page.code()
    assert (await stranger.exchange(code)).json()["code"] == "sign_in_refused"
    assert (await page.exchange(code)).status_code == 401
    code = await page.code()
    answers = await asyncio.gather(*(page.exchange(code) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 4


OTHER_PAGES = [
    "https://evil.example.org/",
    "http://app.example.org/",
    "https://app.example.org:8443/",
    "https://app.example.org@evil.example.org/",
    "https://app.example.org.evil.example.org/",
    "https://app.example.org\\@evil.example.org/",
    "//app.example.org/",
    "/signed-in",
    "javascript:alert(1)",
    "https://app.example.org/#code=mine",
    "https://app.exam\tple.org/",
    "",
]


async def test_a_page_of_another_origin_is_refused(page: Page) -> None:
    for address in OTHER_PAGES:
        query = {"return_to": address, "challenge": create_s256_code_challenge("x" * 43)}
        answer = await page.http.get(f"{BASE}/home/start", params=query)
        assert answer.status_code == 400, address
        assert answer.json()["code"] == "origin_not_allowed"


async def test_a_page_without_a_challenge_is_refused(page: Page) -> None:
    for query in ({"return_to": PAGE}, {"challenge": create_s256_code_challenge("x" * 43)}):
        assert (await page.http.get(f"{BASE}/home/start", params=query)).json()["code"] == "missing_challenge"
    query = {"return_to": PAGE, "challenge": "short"}
    assert (await page.http.get(f"{BASE}/home/start", params=query)).status_code == 400


@pytest.mark.parametrize(("said", "told"), [("access_denied", "access_denied"), ("<script>", "sign_in_refused")])
async def test_the_page_hears_that_the_provider_refused(
    page: Page, identity_provider: IdentityProvider, said: str, told: str
) -> None:
    identity_provider.deny = said
    assert await page.fragment() == {"error": told}
    answer = await page.http.get(await page.come_back(back=False))
    assert answer.status_code == 401
    assert answer.json()["code"] == told


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


async def test_a_suspended_account_is_refused(page: Page, database: psycopg.AsyncConnection[Any]) -> None:
    assert (await page.sign_in()).status_code == 200
    await database.execute("UPDATE accounts SET status = 'suspended'")
    answer = await page.sign_in()
    assert answer.status_code == 403
    assert answer.json()["code"] == "account_suspended"


async def test_a_verified_email_of_an_account_leads_not_into_it_until_it_is_linked(
    page: Page, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    identity_provider.claims = {"email": EMAIL.upper(), "email_verified": True}
    headers = await bearer(page.http)
    answer = await page.sign_in()
    assert answer.status_code == 409
    assert answer.json()["code"] == "link_required"
    assert await count(database, "accounts") == 1
    assert await count(database, "identities") == 0

    body = {"code": await page.code(), "verifier": page.verifier}
    assert (await page.http.post("/v1/account/identities", json=body)).status_code == 401
    answer = await page.http.post("/v1/account/identities", headers=headers, json=body)
    assert answer.status_code == 204, answer.text
    assert (await page.http.post("/v1/account/identities", headers=headers, json=body)).status_code == 401
    body = {"code": await page.code(), "verifier": page.verifier}
    assert (await page.http.post("/v1/account/identities", headers=headers, json=body)).status_code == 204
    answer = await page.sign_in()
    assert answer.json()["account"]["email"] == EMAIL
    actions = await (await database.execute("SELECT action FROM audit_events")).fetchall()
    assert [row[0] for row in actions].count("identity.link") == 1


async def test_an_email_that_is_not_verified_is_nobodys(page: Page, identity_provider: IdentityProvider) -> None:
    await bearer(page.http)
    for subject, verified in enumerate((False, None, "false", 1, "yes")):
        identity_provider.claims = {"sub": str(subject), "email": EMAIL, "email_verified": verified}
        answer = await page.sign_in()
        assert answer.status_code == 200
        assert answer.json()["account"]["email"] is None, verified
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        (identity,) = (await page.http.get("/v1/account/identities", headers=headers)).json()["data"]
        assert identity["email"] == EMAIL


async def test_an_identity_belongs_to_one_account(page: Page, database: psycopg.AsyncConnection[Any]) -> None:
    assert (await page.sign_in()).status_code == 200
    headers = await bearer(page.http)
    body = {"code": await page.code(), "verifier": page.verifier}
    answer = await page.http.post("/v1/account/identities", headers=headers, json=body)
    assert answer.status_code == 409
    assert answer.json()["code"] == "identity_taken"
    assert (await page.http.get("/v1/account/identities", headers=headers)).json()["data"] == []
    assert await count(database, "identities") == 1


async def test_an_identity_is_unlinked_unless_it_is_the_last_way_in(
    page: Page, identity_provider: IdentityProvider
) -> None:
    signed_in = {"authorization": f"Bearer {(await page.sign_in()).json()['access_token']}"}
    which = {"issuer": identity_provider.url, "subject": "1"}
    answer = await page.http.delete("/v1/account/identities", headers=signed_in, params=which)
    assert answer.status_code == 409
    assert answer.json()["code"] == "last_way_in"
    stranger = await bearer(page.http)
    for subject in ("1", "2"):
        answer = await page.http.delete("/v1/account/identities", headers=stranger, params=which | {"subject": subject})
        assert answer.status_code == 404
    answer = await page.http.delete("/v1/account/identities", headers=stranger, params=which | {"subject": "a\x00"})
    assert answer.status_code == 400
    identity_provider.claims = {"sub": "2"}
    body = {"code": await page.code(), "verifier": page.verifier}
    assert (await page.http.post("/v1/account/identities", headers=signed_in, json=body)).status_code == 204
    answer = await page.http.delete("/v1/account/identities", headers=signed_in, params=which)
    assert answer.status_code == 204
    answer = await page.sign_in()
    assert answer.status_code == 200


async def test_a_key_without_the_scope_links_nothing(page: Page, anonymous: Client) -> None:
    await anonymous.sign_up()
    body = {"code": await page.code(), "verifier": page.verifier}
    answer = await page.http.post("/v1/account/identities", headers=anonymous.headers(), json=body)
    assert answer.status_code == 403
