"""Checks signed tokens of others: access tokens of outside issuers, and ID tokens of providers.

Of the header only the algorithm, which has to be one of those expected, and the name of the key are looked at; keys or
addresses of keys that a token brings along (`jwk`, `jku`, `x5u`, `x5c`) are never taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from gateway.errors import InvalidTokenError
from gateway.issuers.keys import KeySource

_LONGEST_KID: Final = 255
_LONGEST_SUBJECT: Final = 255
_REQUIRED: Final = ("iss", "aud", "sub", "exp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a token has to say."""

    issuer: str
    audience: str
    algorithms: Sequence[str]
    leeway_s: float = 0


async def check_token(token: str, keys: KeySource | str, expected: Expected) -> dict[str, Any]:
    """The claims of a token whose signature, algorithm, issuer, audience and times are right.

    Args:
        token: As it was sent.
        keys: Where the issuer's public keys come from, or the secret that is shared with it.
        expected: What it has to say.

    Raises:
        InvalidTokenError: One of them is wrong.
        IssuerUnavailableError: The keys cannot be had right now.
    """
    try:
        header = jwt.get_unverified_header(token)
        algorithm, kid = str(header.get("alg")), header.get("kid")
        if algorithm not in expected.algorithms or (kid is not None and len(kid) > _LONGEST_KID):
            raise InvalidTokenError
        claims: dict[str, Any] = jwt.decode(
            token,
            keys if isinstance(keys, str) else await keys.find(kid, algorithm),
            algorithms=list(expected.algorithms),
            issuer=expected.issuer,
            audience=expected.audience,
            leeway=expected.leeway_s,
            options={"require": list(_REQUIRED)},
        )
    except jwt.ExpiredSignatureError as error:
        raise InvalidTokenError("The token has expired.", code="token_expired") from error
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidTokenError from error
    if not 0 < len(claims["sub"]) <= _LONGEST_SUBJECT or not claims["sub"].isprintable():
        raise InvalidTokenError
    return claims
