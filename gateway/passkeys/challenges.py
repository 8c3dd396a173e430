"""Challenges: what an authenticator is asked to sign, so that its answer is good once, for a while, for one purpose.

A challenge begins with the id of its row, by which the answer finds it; the rest is random.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncConnection
from webauthn.helpers import base64url_to_bytes

from gateway.db.tables import PasskeyChallenge, table_of

Purpose = Literal["register", "login", "nobody"]
"""`nobody` is a login by a name that has no passkey: it is asked for one all the same, and always refused."""

LIFETIME: Final = timedelta(minutes=5)

_CHALLENGES: Final[Any] = table_of(PasskeyChallenge)
_ID_BYTES: Final = 16
_RANDOM_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Challenge:
    """One that was outstanding; `account_id` is None where anybody may answer it."""

    value: bytes
    purpose: Purpose
    account_id: UUID | None


class _ClientData(msgspec.Struct, frozen=True):
    challenge: str


async def issue(connection: AsyncConnection, purpose: Purpose, account_id: UUID | None) -> bytes:
    """Make a challenge and keep it until it is answered."""
    challenge_id = uuid4()
    value = challenge_id.bytes + secrets.token_bytes(_RANDOM_BYTES)
    values = {"id": challenge_id, "challenge": value, "purpose": purpose, "account_id": account_id}
    await connection.execute(_CHALLENGES.insert().values(expires_at=func.now() + LIFETIME, **values))
    return value


async def take(connection: AsyncConnection, client_data: str) -> Challenge | None:
    """Take away the challenge that an answer belongs to, whether the answer is right or wrong.

    Args:
        connection: Its transaction has to be committed before the answer is looked at, unless it is that of a call
            with an idempotency key, which is undone as a whole: a wrong answer then leaves the challenge until it
            expires. That helps nobody to sign in, for only passkeys of one's own are added by such calls.
        client_data: `clientDataJSON` of the answer, in base64url.

    Returns:
        None where there is none, or none any more.
    """
    try:
        said = msgspec.json.decode(base64url_to_bytes(client_data), type=_ClientData).challenge
        value = base64url_to_bytes(said)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if len(value) != _ID_BYTES + _RANDOM_BYTES:
        return None
    taken = (
        _CHALLENGES.delete()
        .where(_CHALLENGES.c.id == UUID(bytes=value[:_ID_BYTES]))
        .returning(
            _CHALLENGES.c.challenge,
            _CHALLENGES.c.purpose,
            _CHALLENGES.c.account_id,
            (_CHALLENGES.c.expires_at > func.now()).label("fresh"),
        )
    )
    row = (await connection.execute(taken)).one_or_none()
    if row is None or not row.fresh or not hmac.compare_digest(row.challenge, value):
        return None
    return Challenge(value, row.purpose, row.account_id)
