"""Somebody has to be able to administer the platform: the last active super_admin cannot go."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.access.guard import SUPER_ADMIN
from gateway.db.tables import Account, table_of
from gateway.errors import LastAdminError

_ACCOUNTS: Final[Any] = table_of(Account)


async def spare_last_admin(connection: AsyncConnection, account_id: UUID) -> None:
    """Pass where the platform can do without this account as an active super_admin.

    All of them stay locked until the transaction ends, so that of the last two only one can go.

    Raises:
        LastAdminError: It is the last one.
    """
    admins = (
        select(_ACCOUNTS.c.id)
        .where(_ACCOUNTS.c.role == SUPER_ADMIN, _ACCOUNTS.c.status == "active")
        .order_by(_ACCOUNTS.c.id)
        .with_for_update()
    )
    if (await connection.execute(admins)).scalars().all() == [account_id]:
        raise LastAdminError
