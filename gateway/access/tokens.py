"""Access tokens: JSON Web Tokens (RFC 7519) that name an account and one of its sessions.

Signed with HMAC-SHA-256 under a key that only the gateway has. The token proves nothing for longer than the session
stands: every request looks the session up, so that a closed one is refused at once.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import jwt

from gateway.errors import InvalidTokenError

ISSUER: Final = "bonafide"
_AUDIENCE: Final = "bonafide-api"
_ALGORITHM: Final = "HS256"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says."""

    account_id: UUID
    session_id: UUID


def mint_access_token(claims: Claims, *, key: str, lifetime: timedelta) -> str:
    """Sign a token that is valid for `lifetime`."""
    now = datetime.now(UTC)
    body = {
        "iss": ISSUER,
        "aud": _AUDIENCE,
        "sub": str(claims.account_id),
        "sid": str(claims.session_id),
        "iat": now,
        "exp": now + lifetime,
    }
    return jwt.encode(body, key, algorithm=_ALGORITHM)


def read_access_token(token: str, *, key: str) -> Claims:
    """Check a token's signature, algorithm, issuer, audience and expiry.

    Raises:
        InvalidTokenError: One of them is wrong.
    """
    try:
        body: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            issuer=ISSUER,
            audience=_AUDIENCE,
            options={"require": ["iss", "aud", "sub", "sid", "iat", "exp"]},
        )
        return Claims(account_id=UUID(body["sub"]), session_id=UUID(body["sid"]))
    except jwt.ExpiredSignatureError as error:
        raise InvalidTokenError("The access token has expired.", code="token_expired") from error
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError) as error:
        raise InvalidTokenError from error


def unverified_issuer(token: str) -> str | None:
    """Who a token claims to come from, to choose the key it is checked with; nothing else may be believed of it."""
    try:
        body: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return None
    issuer = body.get("iss")
    return issuer if isinstance(issuer, str) else None


def signed_in_at(token: str) -> float | None:
    """When the user of an outside issuer's token signed in (`auth_time`), else when the token was made (`iat`).

    Call it only with a token that was checked; None where it says neither.
    """
    body: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    said = body.get("auth_time", body.get("iat"))
    return float(said) if isinstance(said, int | float) else None
