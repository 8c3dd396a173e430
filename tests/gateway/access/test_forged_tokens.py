"""Access tokens as attackers make them: each is right in everything but what its name says, and each is 401."""

import base64
import hmac
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.settings import GatewaySettings
from tests.fixtures.admissions import Holder, make_holder
from tests.fixtures.gateway import JPEG, Client
from tests.fixtures.keys import sign_in

pytestmark = pytest.mark.integration

Body = dict[str, Any]
_RSA = rsa.generate_private_key(65537, 2048)
_PUBLIC = _RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def encode(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: Any, body: Any, key: bytes) -> str:
    """Signed by hand, as a library would refuse to."""
    unsigned = f"{encode(header)}.{encode(body)}"
    return f"{unsigned}.{encode(hmac.digest(key, unsigned.encode(), 'sha256'))}"


def changed(body: Body, key: str, **claims: Any) -> str:
    """Signed with the right key, with other claims; None leaves one out."""
    kept = {name: value for name, value in (body | claims).items() if value is not None}
    return jwt.encode(kept, key, algorithm="HS256")


def headed(header: Body) -> Callable[[Body, str], str]:
    """Signed with another key, under a header that would lead to it."""
    return lambda body, _: signed({"alg": "HS256", "typ": "JWT"} | header, body, b"the attacker's own")


def tampered(body: Body, key: str) -> str:
    header, _, signature = jwt.encode(body, key, algorithm="HS256").split(".")
    return f"{header}.{encode(body | {'sub': str(uuid4())})}.{signature}"


FORGERIES: dict[str, Callable[[Body, str], str]] = {
    "no algorithm": lambda body, _: f"{encode({'alg': 'none'})}.{encode(body)}.",
    "no algorithm, in other letters": lambda body, _: f"{encode({'alg': 'nOnE'})}.{encode(body)}.",
    "no algorithm, but a signature": lambda body, key: signed({"alg": "none"}, body, key.encode()),
    "no algorithm named": lambda body, key: signed({"typ": "JWT"}, body, key.encode()),
    "a longer digest": lambda body, key: jwt.encode(body, key * 2, algorithm="HS512"),
    "the right key by another algorithm": lambda body, key: signed({"alg": "HS384"}, body, key.encode()),
    "an algorithm of public keys": lambda body, _: jwt.encode(body, _RSA, algorithm="RS256"),
    "a public key as a secret": lambda body, _: signed({"alg": "HS256"}, body, _PUBLIC),
    "the algorithm of public keys over the secret": lambda body, key: signed({"alg": "RS256"}, body, key.encode()),
    "an empty key": lambda body, _: signed({"alg": "HS256"}, body, b""),
    "a wrong key": lambda body, _: jwt.encode(body, "x" * 32, algorithm="HS256"),
    "a key named by a path": headed({"kid": "../../../../dev/null"}),
    "a key named by a query": headed({"kid": "' UNION SELECT 'x' --"}),
    "a key named at length": headed({"kid": "x" * 5000}),
    "a key brought along": headed({"jwk": {"kty": "oct", "k": encode(b"the attacker's own")}}),
    "an address of keys brought along": headed({"jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/x"}),
    "a header that must be understood": lambda body, key: signed(
        {"alg": "HS256", "crit": ["b64"], "b64": False}, body, key.encode()
    ),
    "claims changed": tampered,
    "no signature": lambda body, key: jwt.encode(body, key, algorithm="HS256").rpartition(".")[0] + ".",
    "a signature cut short": lambda body, key: jwt.encode(body, key, algorithm="HS256")[:-4],
    "expired": lambda body, key: changed(body, key, exp=body["iat"] - 1),
    "not yet valid": lambda body, key: changed(body, key, nbf=body["iat"] + 3600),
    "issued in the future": lambda body, key: changed(body, key, iat=body["iat"] + 3600),
    "without expiry": lambda body, key: changed(body, key, exp=None),
    "expiry that is no number": lambda body, key: changed(body, key, exp="never"),
    "expiry beyond all time": lambda body, key: changed(body, key, exp=1e400),
    "another issuer": lambda body, key: changed(body, key, iss="https://evil.example"),
    "no issuer": lambda body, key: changed(body, key, iss=None),
    "another audience": lambda body, key: changed(body, key, aud="another-api"),
    "no audience": lambda body, key: changed(body, key, aud=None),
    "no session": lambda body, key: changed(body, key, sid=None),
    "an unknown session": lambda body, key: changed(body, key, sid=str(uuid4())),
    "a session that is no id": lambda body, key: changed(body, key, sid="1 OR 1=1"),
    "a session that is a list": lambda body, key: changed(body, key, sid=[body["sid"]]),
    "no subject": lambda body, key: changed(body, key, sub=None),
    "claims that are a list": lambda body, key: signed({"alg": "HS256"}, [body], key.encode()),
    "claims that are no JSON": lambda _, key: signed({"alg": "HS256"}, b"{", key.encode()),
    "a header that is a list": lambda body, key: signed([{"alg": "HS256"}], body, key.encode()),
    "a header that is no JSON": lambda body, key: signed(b"\xff", body, key.encode()),
    "nothing at all": lambda *_: "..",
    "no base64": lambda *_: "a!.b!.c!",
    "a great deal": lambda *_: f"{'e' * 9000}.e.e",
}


@pytest.fixture
async def holder(database: Any) -> Holder:
    return await make_holder(database)


@pytest.fixture
async def token(holder: Holder, gateway_settings: GatewaySettings) -> str:
    """A token that is right in everything."""
    return await sign_in(holder.database, gateway_settings, holder.account_id)


async def statuses(client: Client, token: str) -> list[tuple[int, str]]:
    """How a token is answered by what reads the caller first, and by what admits it in one statement."""
    headers = {"authorization": f"Bearer {token}"}
    answers = [
        await client.http.get("/v1/usage", headers=headers),
        await client.http.post("/v1/detections", headers=headers, files={"file": ("a.jpg", JPEG)}),
        await client.http.get("/api/auth/me", headers=headers),
    ]
    return [
        (answer.status_code, answer.json().get("code") or (answer.json().get("error") or {}).get("code"))
        for answer in answers
    ]


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_token_opens_nothing(
    anonymous: Client,
    token: str,
    gateway_settings: GatewaySettings,
    database: Any,
    forge: Callable[[Body, str], str],
) -> None:
    body = jwt.decode(token, options={"verify_signature": False})
    forged = forge(body, gateway_settings.token_key.get_secret_value())
    for status, code in await statuses(anonymous, forged):
        assert status == 401, code
        assert code in {"invalid_token", "token_expired", "invalid_api_key"}
    assert await (await database.execute("SELECT FROM detections")).fetchall() == []


async def test_the_token_that_they_are_made_from_is_good(anonymous: Client, token: str) -> None:
    assert [status for status, _ in await statuses(anonymous, token)] == [200, 200, 200]


CLOSING = {
    "closed": "UPDATE sessions SET closed_at = now()",
    "gone": "DELETE FROM sessions",
    "of a deleted account": "UPDATE accounts SET status = 'deleted'",
}


@pytest.mark.parametrize("close", CLOSING.values(), ids=CLOSING.keys())
async def test_a_session_that_is_over_is_refused_at_once(
    anonymous: Client, token: str, database: Any, close: str
) -> None:
    await database.execute(close)
    assert {status for status, _ in await statuses(anonymous, token)} == {401}
