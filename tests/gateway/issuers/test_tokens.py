"""Tokens of outside issuers, sent to the gateway as its callers send them."""

import asyncio
import time
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import ECAlgorithm, OKPAlgorithm
from pydantic import SecretStr

import gateway.issuers.keys
from gateway.issuers.configuration import TrustedIssuer
from gateway.settings import GatewaySettings
from tests.fixtures.forgeries import FORGERIES
from tests.fixtures.gateway import EMAIL, PASSWORD, Client
from tests.fixtures.identity_provider import IdentityProvider, new_key

pytestmark = pytest.mark.integration

AUDIENCE = "bonafide-tests"
BY_SECRET = "https://secret.example.org/auth"
BY_LIST = "https://list.example.org"
SECRET = "a made-up secret that two sides share, long enough for every algorithm there is"
ELLIPTIC = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def gateway_settings(gateway_settings: GatewaySettings, identity_provider: IdentityProvider) -> GatewaySettings:
    """With issuers of all kinds."""
    listed = [
        ECAlgorithm.to_jwk(ELLIPTIC.public_key(), as_dict=True) | {"kid": "ec"},
        OKPAlgorithm.to_jwk(EDWARDS.public_key(), as_dict=True) | {"kid": "ed"},
    ]
    issuers = [
        TrustedIssuer(
            issuer=identity_provider.url, audience=AUDIENCE, jwks_url=f"{identity_provider.url}/jwks", leeway_s=0
        ),
        TrustedIssuer(issuer=BY_SECRET, audience=AUDIENCE, secret=SecretStr(SECRET)),
        TrustedIssuer(issuer=BY_LIST, audience=AUDIENCE, jwks={"keys": listed}),
    ]
    return gateway_settings.model_copy(update={"issuers": issuers})


def said(subject: str = "1", **claims: Any) -> dict[str, Any]:
    return {"sub": subject, "aud": AUDIENCE} | claims


async def ask(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await http.get("/v1/account", headers={"authorization": f"Bearer {token}"})


async def accounts(database: psycopg.AsyncConnection[Any]) -> int:
    row = await (await database.execute("SELECT count(*) FROM accounts")).fetchone()
    assert row is not None
    return row[0]


async def test_a_user_of_an_outside_issuer_is_made_on_first_sight_and_can_do_what_accounts_can(
    anonymous: Client, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    token = identity_provider.sign(said(email=EMAIL, email_verified=True))
    answer = await ask(anonymous.http, token)
    assert answer.status_code == 200, answer.text
    assert answer.json()["email"] == EMAIL
    bearer = {"authorization": f"Bearer {token}"}
    answer = await anonymous.http.post(
        "/v1/detections", headers=bearer, files={"file": ("a.jpg", b"\xff\xd8\xff" * 900)}
    )
    assert answer.status_code == 200, answer.text
    answer = await anonymous.http.get("/v1/usage", headers=bearer)
    assert answer.json()["day"]["used"] == 1
    answer = await anonymous.http.get("/auth/me", headers=bearer)
    assert answer.json()["authenticated"] is True
    key = await (await database.execute("SELECT count(*) FROM api_keys WHERE is_primary")).fetchone()
    assert key == (1,)


async def test_the_same_subject_of_two_issuers_is_two_users(
    anonymous: Client, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    soon = {"exp": int(time.time()) + 60}
    tokens = [
        identity_provider.sign(said()),
        jwt.encode(said(iss=BY_SECRET) | soon, SECRET, "HS256"),
        jwt.encode(said(iss=BY_LIST) | soon, ELLIPTIC, "ES256", {"kid": "ec"}),
    ]
    ids = {(await ask(anonymous.http, token)).json()["id"] for token in tokens}
    assert len(ids) == 3
    again = jwt.encode(said(iss=BY_LIST) | soon, EDWARDS, "EdDSA", {"kid": "ed"})
    assert (await ask(anonymous.http, again)).json()["id"] in ids
    without_name = jwt.encode(said(iss=BY_LIST) | soon, EDWARDS, "EdDSA")
    assert (await ask(anonymous.http, without_name)).status_code == 200
    assert await accounts(database) == 3


async def test_many_first_sights_at_once_make_one_account(
    anonymous: Client, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    tokens = [identity_provider.sign(said(email=EMAIL, email_verified=True)) for _ in range(12)]
    answers = await asyncio.gather(*(ask(anonymous.http, token) for token in tokens))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await accounts(database) == 1


async def test_an_email_leads_into_no_account(
    anonymous: Client, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    await anonymous.http.post("/v1/auth/register", json={"email": EMAIL, "password": PASSWORD})
    for subject, claims in enumerate(
        (
            {"email": EMAIL, "email_verified": True},
            {"email": EMAIL.upper(), "email_verified": True},
            {"email": "free@example.org", "email_verified": False},
            {"email": "free@example.org"},
            {"email": "free@example.org", "email_verified": ["true"]},
            {"email": "a\x00@example.org", "email_verified": True},
            {"email": ["free@example.org"], "email_verified": True},
        )
    ):
        answer = await ask(anonymous.http, identity_provider.sign(said(str(subject), **claims)))
        assert answer.status_code == 200
        assert answer.json()["email"] is None, claims
    assert await accounts(database) == 8


@pytest.mark.parametrize("verified", [True, False, None])
async def test_a_front_end_with_its_own_sign_in_reads_the_email_that_its_issuer_verified(
    anonymous: Client, identity_provider: IdentityProvider, *, verified: bool | None
) -> None:
    await anonymous.http.post("/v1/auth/register", json={"email": EMAIL, "password": PASSWORD})
    token = identity_provider.sign(said(email=EMAIL, email_verified=verified))
    bearer = {"authorization": f"Bearer {token}"}
    answer = await anonymous.http.get("/auth/me", headers=bearer)
    assert answer.json() == {"id": answer.json()["id"], "email": EMAIL if verified else None, "authenticated": True}
    assert (await anonymous.http.get("/v1/account", headers=bearer)).json()["email"] is None


async def test_what_a_token_says_of_roles_and_plans_is_nothing_to_us(
    anonymous: Client, identity_provider: IdentityProvider
) -> None:
    token = identity_provider.sign(said(role="super_admin", plan="unlimited", scope="admin", sid="x"))
    account = (await ask(anonymous.http, token)).json()
    assert account["role"] == "user"
    assert account["plan"] == "standard"


WRONG_CLAIMS: list[dict[str, Any]] = [
    {"iss": "https://elsewhere.example.org"},
    {"iss": None},
    {"aud": "another"},
    {"aud": ["another"]},
    {"aud": None},
    {"exp": 1_000_000_000},
    {"exp": None},
    {"exp": "soon"},
    {"nbf": 9_000_000_000},
    {"iat": 9_000_000_000},
    {"sub": None},
    {"sub": ""},
    {"sub": 1},
    {"sub": "x" * 256},
    {"sub": "a\x00b"},
]


async def test_a_token_with_a_wrong_claim_is_refused(
    anonymous: Client, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    for wrong in WRONG_CLAIMS:
        answer = await ask(anonymous.http, identity_provider.sign(said(**wrong)))
        assert answer.status_code == 401, wrong
    assert await accounts(database) == 0


async def test_a_forged_token_is_refused_and_makes_us_call_nobody(
    anonymous: Client, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    for name, forge in FORGERIES.items():
        answer = await ask(anonymous.http, forge(identity_provider, said()))
        assert answer.status_code == 401, name
        assert answer.json()["code"] == "invalid_token", name
    assert await accounts(database) == 0
    assert set(identity_provider.hits) <= {"/jwks"}
    assert identity_provider.hits["/jwks"] <= 2


async def test_the_keys_of_one_issuer_are_no_good_for_another(
    anonymous: Client, identity_provider: IdentityProvider
) -> None:
    soon = {"exp": int(time.time()) + 60}
    for token in (
        identity_provider.sign(said(iss=BY_LIST)),
        identity_provider.sign(said(iss=BY_SECRET)),
        jwt.encode(said(iss=BY_LIST) | soon, SECRET, "HS256"),
        jwt.encode(said(iss=identity_provider.url) | soon, SECRET, "HS256"),
        jwt.encode(said(iss=BY_LIST) | soon, EDWARDS, "EdDSA", {"kid": "ec"}),
        jwt.encode(said(iss=BY_SECRET) | soon, ELLIPTIC, "ES256", {"kid": "ec"}),
        jwt.encode(said(iss="bonafide") | soon, SECRET, "HS256"),
        jwt.encode(said(iss=BY_SECRET) | soon, SECRET, "HS512"),
    ):
        assert (await ask(anonymous.http, token)).status_code == 401, jwt.get_unverified_header(token)


async def test_a_suspended_user_is_refused_at_once(
    anonymous: Client, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    token = identity_provider.sign(said())
    assert (await ask(anonymous.http, token)).status_code == 200
    await database.execute("UPDATE accounts SET status = 'suspended'")
    answer = await ask(anonymous.http, token)
    assert answer.status_code == 403
    assert answer.json()["code"] == "account_suspended"


async def test_a_new_key_is_found_and_an_old_one_dies(
    anonymous: Client, identity_provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.issuers.keys, "INTERVAL_S", 0.0)
    old = identity_provider.sign(said())
    assert (await ask(anonymous.http, old)).status_code == 200
    identity_provider.rotate()
    assert (await ask(anonymous.http, identity_provider.sign(said()))).status_code == 200
    assert (await ask(anonymous.http, old)).status_code == 401


async def test_an_issuer_that_is_away_is_no_fault_of_the_caller(
    anonymous: Client, identity_provider: IdentityProvider
) -> None:
    identity_provider.trouble["/jwks"] = 500
    token = identity_provider.sign(said())
    answers = await asyncio.gather(*(ask(anonymous.http, token) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["code"] for answer in answers} == {"issuer_unavailable"}
    assert all(answer.headers["retry-after"] for answer in answers)
    assert identity_provider.hits["/jwks"] == 1
    unsigned = FORGERIES["no signature"](identity_provider, said())
    assert (await ask(anonymous.http, unsigned)).status_code == 401


async def test_invented_keys_do_not_make_us_ask_the_issuer_again_and_again(
    anonymous: Client, identity_provider: IdentityProvider
) -> None:
    assert (await ask(anonymous.http, identity_provider.sign(said()))).status_code == 200
    stranger = new_key()
    tokens = [identity_provider.sign(said(), key=stranger, kid=f"invented-{n}") for n in range(20)]
    answers = await asyncio.gather(*(ask(anonymous.http, token) for token in tokens))
    assert {answer.status_code for answer in answers} == {401}
    assert identity_provider.hits["/jwks"] == 1


async def test_a_deleted_users_next_sign_in_is_a_first_one(
    anonymous: Client, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    """The row of the account stays, and no identity may be left that leads to it."""
    first = (await ask(anonymous.http, identity_provider.sign(said("1")))).json()["id"]
    await database.execute("UPDATE accounts SET status = 'deleted'")
    assert (await ask(anonymous.http, identity_provider.sign(said("1")))).status_code == 401
    await database.execute(
        "INSERT INTO identities (issuer, subject, account_id) SELECT issuer, '2', account_id FROM identities"
    )
    second = await ask(anonymous.http, identity_provider.sign(said("2")))
    assert second.status_code == 200
    assert second.json()["id"] != first


async def test_an_unlinked_identity_is_refused_at_once(
    anonymous: Client, identity_provider: IdentityProvider, database: psycopg.AsyncConnection[Any]
) -> None:
    token = identity_provider.sign(said())
    bearer = {"authorization": f"Bearer {token}"}
    first = (await ask(anonymous.http, token)).json()["id"]
    await database.execute("DELETE FROM identities")
    assert (await ask(anonymous.http, token)).status_code == 401
    file = {"file": ("a.jpg", b"\xff\xd8\xff" * 900)}
    for fields in ({}, {"reuse": "true"}):
        answer = await anonymous.http.post("/v1/detections", headers=bearer, files=file, data=fields)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    # Linked again, to whichever account, it leads there.
    other = await (await database.execute("INSERT INTO accounts DEFAULT VALUES RETURNING id")).fetchone()
    assert other is not None
    await database.execute(
        "INSERT INTO identities (issuer, subject, account_id) VALUES (%s, '1', %s)", (identity_provider.url, other[0])
    )
    assert (await ask(anonymous.http, token)).json()["id"] == str(other[0]) != first
