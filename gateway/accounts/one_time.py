"""One-time tokens: mailed to prove that an e-mail is its owner's; only their SHA-256 is kept, and each works once."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.accounts.sessions import make_token, token_digest
from gateway.db.tables import Account, OneTimeToken, table_of
from gateway.errors import SpentTokenError

Purpose = Literal["verify_email", "reset_password"]

_ACCOUNTS: Final[Any] = table_of(Account)
_TOKENS: Final[Any] = table_of(OneTimeToken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """The account that a token was mailed to, and the names it is called by."""

    account_id: UUID
    email: str
    username: str | None


async def issue(
    connection: AsyncConnection, account_id: UUID, email: str, *, purpose: Purpose, lifetime: timedelta
) -> str:
    """Make a token for an account at this e-mail; what was given out before for the same purpose is void."""
    await void(connection, account_id, purpose=purpose)
    secret, digest = make_token()
    values = {
        "digest": digest,
        "account_id": account_id,
        "purpose": purpose,
        "email": email,
        "expires_at": func.now() + lifetime,
    }
    await connection.execute(_TOKENS.insert().values(values))
    return secret


async def was_issued_within(
    connection: AsyncConnection, account_id: UUID, *, purpose: Purpose, period: timedelta
) -> bool:
    """Whether a token for this purpose was made so recently; asked under the lock of the account."""
    query = select(_TOKENS.c.digest).where(
        (_TOKENS.c.account_id == account_id)
        & (_TOKENS.c.purpose == purpose)
        & (_TOKENS.c.created_at > func.now() - period)
    )
    return (await connection.execute(query.limit(1))).first() is not None


async def is_good(connection: AsyncConnection, secret: str, *, purpose: Purpose) -> bool:
    """Whether `redeem` would take a token, so that no costly work is done for one that it would not."""
    return await connection.scalar(select(_TOKENS.c.account_id).where(_good(secret, purpose))) is not None


async def redeem(connection: AsyncConnection, secret: str, *, purpose: Purpose) -> Proven:
    """Use a token up.

    Raises:
        SpentTokenError: It was used, has expired, was never given out, or its account has gone or has another e-mail.
    """
    used = update(_TOKENS).where(_good(secret, purpose)).values(used_at=func.now())
    token = (await connection.execute(used.returning(_TOKENS.c.account_id, _TOKENS.c.email))).one_or_none()
    if token is None:
        raise SpentTokenError
    same = (_ACCOUNTS.c.id == token.account_id) & (_ACCOUNTS.c.email == token.email)
    query = select(_ACCOUNTS.c.username).where(same, _ACCOUNTS.c.status != "deleted").with_for_update()
    account = (await connection.execute(query)).one_or_none()
    if account is None:
        raise SpentTokenError
    return Proven(account_id=token.account_id, email=token.email, username=account.username)


async def void(connection: AsyncConnection, account_id: UUID, *, purpose: Purpose) -> None:
    """Take back what was given out for a purpose."""
    unused = (
        (_TOKENS.c.account_id == account_id)
        & (_TOKENS.c.purpose == purpose)
        & _TOKENS.c.used_at.is_(None)
        & (_TOKENS.c.expires_at > func.now())
    )
    await connection.execute(update(_TOKENS).where(unused).values(expires_at=func.now()))


def _good(secret: str, purpose: Purpose) -> Any:
    return (
        (_TOKENS.c.digest == token_digest(secret))
        & (_TOKENS.c.purpose == purpose)
        & _TOKENS.c.used_at.is_(None)
        & (_TOKENS.c.expires_at > func.now())
    )
