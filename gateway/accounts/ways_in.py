"""Keeps an account from losing its last way in."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.tables import Account, Identity, Passkey, table_of
from gateway.errors import ConflictError

_ACCOUNTS: Final[Any] = table_of(Account)
_IDENTITIES: Final[Any] = table_of(Identity)
_PASSKEYS: Final[Any] = table_of(Passkey)


async def lock_account(connection: AsyncConnection, account_id: UUID) -> None:
    """Let nobody else change how the account signs in until the transaction ends."""
    # Without the key: rows that only refer to the account, such as detections, are not kept waiting.
    locked = select(_ACCOUNTS.c.id).where(_ACCOUNTS.c.id == account_id).with_for_update(key_share=True)
    await connection.execute(locked)


async def keep_a_way_in(connection: AsyncConnection, account_id: UUID) -> None:
    """Check what is left after something was taken away; call `lock_account` first.

    Raises:
        ConflictError: Neither a password, nor a passkey, nor an identity is left.
    """
    left = or_(
        _ACCOUNTS.c.password_hash.is_not(None),
        exists().where(_PASSKEYS.c.account_id == account_id),
        exists().where(_IDENTITIES.c.account_id == account_id),
    )
    if not await connection.scalar(select(left).where(_ACCOUNTS.c.id == account_id)):
        raise ConflictError("This is the last way to sign in to this account.", code="last_way_in")
