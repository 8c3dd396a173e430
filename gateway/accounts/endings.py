"""What ends: everything that signs in to an account, and the account itself."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.accounts.last_admin import spare_last_admin
from gateway.accounts.sessions import close_sessions
from gateway.audit.service import Act, Actor, record
from gateway.db.tables import (
    Account,
    ApiKey,
    Identity,
    OneTimeToken,
    Passkey,
    WebhookEndpoint,
    WebhookMessage,
    table_of,
)
from gateway.errors import NotFoundError

_ACCOUNTS: Final[Any] = table_of(Account)
_KEYS: Final[Any] = table_of(ApiKey)
_DISCARD_ALL: Final = text("""
    SELECT discard_media(ARRAY(SELECT id FROM media WHERE account_id = :id), 'account_deleted', even_needed => true)
""")


async def cut_off(connection: AsyncConnection, account_id: UUID) -> None:
    """Revoke the keys of an account, close its sessions, and take away its passkeys, identities and mailed tokens."""
    living = (_KEYS.c.account_id == account_id) & _KEYS.c.revoked_at.is_(None)
    await connection.execute(update(_KEYS).where(living).values(revoked_at=func.now()))
    await close_sessions(connection, account_id)
    for table in (table_of(Identity), table_of(Passkey), table_of(OneTimeToken)):
        await connection.execute(delete(table).where(table.c.account_id == account_id))


async def delete_account(connection: AsyncConnection, account_id: UUID, *, actor: Actor) -> None:
    """End an account in the caller's transaction: nothing of it signs in any more, and its names are free.

    What it did stays, under its id; what it had in the object store goes, and nobody is told of it any more.

    Raises:
        NotFoundError: There is none.
        LastAdminError: It is the last active super_admin.
    """
    await spare_last_admin(connection, account_id)
    ended = (
        update(_ACCOUNTS)
        .where(_ACCOUNTS.c.id == account_id, _ACCOUNTS.c.status != "deleted")
        .values(status="deleted", deleted_at=func.now(), password_hash=None)
        .returning(_ACCOUNTS.c.email, _ACCOUNTS.c.username)
    )
    names = (await connection.execute(ended)).one_or_none()
    if names is None:
        raise NotFoundError("There is no such account.")
    await cut_off(connection, account_id)
    await connection.execute(_DISCARD_ALL, {"id": account_id})
    for table in (table_of(WebhookEndpoint), table_of(WebhookMessage)):
        await connection.execute(delete(table).where(table.c.account_id == account_id))
    before = {"email": names.email, "username": names.username}
    await record(connection, Act(actor, "account.delete", "account", str(account_id), before=before))
