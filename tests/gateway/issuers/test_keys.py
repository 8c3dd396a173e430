import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey, OctKey
from jwt.algorithms import RSAAlgorithm

from gateway.errors import InvalidTokenError, IssuerUnavailableError
from gateway.issuers.fetching import LONGEST, Outside
from gateway.issuers.keys import FRESH_S, INTERVAL_S, USABLE_S, Keys, RemoteKeys
from tests.fixtures.identity_provider import IdentityProvider, new_key

pytestmark = pytest.mark.integration


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def outside() -> AsyncGenerator[Outside]:
    async with httpx.AsyncClient() as http:
        yield Outside(http, deadline_s=2)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(identity_provider: IdentityProvider, outside: Outside, clock: Clock) -> RemoteKeys:
    return RemoteKeys(f"{identity_provider.url}/jwks", outside, clock=clock)


async def test_the_set_is_read_once_for_many(keys: RemoteKeys, identity_provider: IdentityProvider) -> None:
    kid = identity_provider.keys[0].kid
    found = await asyncio.gather(*(keys.find(kid, "RS256") for _ in range(10)))
    assert {key.key_id for key in found} == {kid}
    assert identity_provider.hits["/jwks"] == 1


async def test_the_set_is_read_anew_after_a_while_and_a_key_that_is_gone_is_dead(
    keys: RemoteKeys, identity_provider: IdentityProvider, clock: Clock
) -> None:
    old = identity_provider.keys[0].kid
    await keys.find(old, "RS256")
    identity_provider.rotate()
    clock.now += FRESH_S - 1
    await keys.find(old, "RS256")
    clock.now += 2
    with pytest.raises(InvalidTokenError):
        await keys.find(old, "RS256")
    await keys.find(identity_provider.keys[0].kid, "RS256")
    assert identity_provider.hits["/jwks"] == 2


async def test_an_unknown_key_is_asked_for_at_most_once_in_a_while(
    keys: RemoteKeys, identity_provider: IdentityProvider, clock: Clock
) -> None:
    await keys.find(identity_provider.keys[0].kid, "RS256")
    for _ in range(3):
        clock.now += INTERVAL_S + 1
        for _ in range(5):
            with pytest.raises(InvalidTokenError):
                await keys.find("invented", "RS256")
    assert identity_provider.hits["/jwks"] == 4


async def test_known_keys_outlive_a_failure_of_their_issuer_for_an_hour(
    keys: RemoteKeys, identity_provider: IdentityProvider, clock: Clock
) -> None:
    kid = identity_provider.keys[0].kid
    await keys.find(kid, "RS256")
    identity_provider.trouble["/jwks"] = 502
    clock.now += USABLE_S - 1
    await keys.find(kid, "RS256")
    with pytest.raises(IssuerUnavailableError):
        await keys.find("perhaps new", "RS256")
    clock.now += 2
    with pytest.raises(IssuerUnavailableError):
        await keys.find(kid, "RS256")
    del identity_provider.trouble["/jwks"]
    clock.now += INTERVAL_S
    await keys.find(kid, "RS256")


async def test_a_known_key_does_not_wait_for_a_slow_issuer(
    keys: RemoteKeys, identity_provider: IdentityProvider, clock: Clock
) -> None:
    kid = identity_provider.keys[0].kid
    await keys.find(kid, "RS256")
    identity_provider.hold = asyncio.Event()
    clock.now += FRESH_S + 1
    first = asyncio.create_task(keys.find(kid, "RS256"))
    async with asyncio.timeout(1.5):
        while identity_provider.hits["/jwks"] < 2:  # noqa: ASYNC110 - The provider counts; it tells nobody.
            await asyncio.sleep(0.01)
        await keys.find(kid, "RS256")
        assert not first.done()
    identity_provider.hold.set()
    assert (await first).key_id == kid


async def test_a_slow_answer_is_cut_off(identity_provider: IdentityProvider) -> None:
    identity_provider.hold = asyncio.Event()
    async with httpx.AsyncClient() as http:
        with pytest.raises(IssuerUnavailableError):
            await Outside(http, deadline_s=0.2).read(f"{identity_provider.url}/jwks")
    identity_provider.hold.set()


@pytest.mark.parametrize("document", [{"padding": "x" * LONGEST}, {"keys": "none"}])
async def test_an_answer_that_is_too_long_or_no_set_holds_no_key(
    keys: RemoteKeys, outside: Outside, identity_provider: IdentityProvider, document: dict[str, Any]
) -> None:
    identity_provider.document = document
    url = f"{identity_provider.url}/.well-known/openid-configuration"
    with pytest.raises((InvalidTokenError, IssuerUnavailableError)):
        await RemoteKeys(url, outside).find(None, "RS256")
    assert await keys.find(None, "RS256")


async def test_redirects_are_not_followed(identity_provider: IdentityProvider, outside: Outside) -> None:
    query = "client_id=bonafide+tests&response_type=code&scope=openid&code_challenge_method=S256&state=x&redirect_uri="
    url = f"{identity_provider.url}/authorize?{query}{identity_provider.url}/jwks"
    with pytest.raises(IssuerUnavailableError):
        await outside.read(url)
    assert identity_provider.hits["/jwks"] == 0


async def test_only_public_keys_for_signatures_that_are_long_enough_are_taken() -> None:
    good = new_key().as_dict(private=False)
    others: list[Any] = [
        OctKey.generate_key(256, {"kid": "shared"}).as_dict(private=True),
        new_key().as_dict(private=False) | {"kid": "encryption", "use": "enc"},
        new_key().as_dict(private=False) | {"kid": "other algorithm", "alg": "RS512"},
        ECKey.generate_key("P-384", {"kid": "other curve"}).as_dict(private=False),
        {"kid": "half", "kty": "RSA", "n": good["n"]},
        {"kid": "rubbish", "kty": ["RSA"], "n": 1, "e": {}},
        "no key",
        None,
    ]
    short = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True) | {"kid": "short"}  # noqa: S505 - It is to be refused.
    keys = Keys({"keys": [*others, short, good]})
    assert (await keys.find(None, "RS256")).key_id == good["kid"]
    for kid in ("shared", "encryption", "other algorithm", "other curve", "half", "rubbish", "short"):
        for algorithm in ("RS256", "ES256", "EdDSA", "HS256", "none"):
            with pytest.raises(InvalidTokenError):
                await keys.find(kid, algorithm)


async def test_without_a_name_a_key_is_taken_only_where_there_is_one() -> None:
    two = Keys({"keys": [new_key().as_dict(private=False) for _ in range(2)]})
    with pytest.raises(InvalidTokenError):
        await two.find(None, "RS256")
