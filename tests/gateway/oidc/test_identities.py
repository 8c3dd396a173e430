from typing import Any

import psycopg
import pytest

from tests.fixtures.gateway import EMAIL, Client
from tests.fixtures.identity_provider import IdentityProvider
from tests.fixtures.page import Page, bearer, count

pytestmark = pytest.mark.integration


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


async def test_whether_an_email_is_verified_is_what_the_provider_said_last(
    page: Page, identity_provider: IdentityProvider
) -> None:
    for claims, told in (
        ({"email": "a@example.org", "email_verified": False}, None),
        ({"email": "a@example.org", "email_verified": True}, "a@example.org"),
        ({}, "a@example.org"),
        ({"email": "b@example.org"}, None),
    ):
        identity_provider.claims = claims
        headers = {"authorization": f"Bearer {(await page.sign_in()).json()['access_token']}"}
        assert (await page.http.get("/auth/me", headers=headers)).json()["email"] == told, claims
