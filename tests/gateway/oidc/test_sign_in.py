import asyncio
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import psycopg
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from gateway.settings import GatewaySettings
from tests.fixtures.gateway import EMAIL, Client
from tests.fixtures.identity_provider import IdentityProvider
from tests.fixtures.page import BASE, PAGE, Page, count

pytestmark = pytest.mark.integration


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


async def test_a_suspended_account_is_refused(page: Page, database: psycopg.AsyncConnection[Any]) -> None:
    assert (await page.sign_in()).status_code == 200
    await database.execute("UPDATE accounts SET status = 'suspended'")
    answer = await page.sign_in()
    assert answer.status_code == 403
    assert answer.json()["code"] == "account_suspended"
