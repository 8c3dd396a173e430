"""The local account, without password and without any limit, that `bonafide up` makes for its own machine."""

from typing import Any, Final

from sqlalchemy import NullPool, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.accounts.service import replace_primary_key
from gateway.db.engine import CONNECTING
from gateway.db.tables import Account, ApiKey, table_of

LOCAL_EMAIL: Final = "local@localhost"

_UNLIMITED: Final = "unlimited"
"""The plan without limits, which the migrations make."""

_ACCOUNTS: Final[Any] = table_of(Account)
_KEYS: Final[Any] = table_of(ApiKey)


async def ensure_local_key(database_url: str, *, rotate: bool = False) -> str | None:
    """Make the local account and its key where they are missing.

    Returns:
        The new key, which cannot be shown again; None where a living one exists and `rotate` is false.
    """
    engine = create_async_engine(database_url, poolclass=NullPool, hide_parameters=True, connect_args=dict(CONNECTING))
    try:
        async with engine.begin() as connection:
            await connection.execute(
                insert(_ACCOUNTS).values(email=LOCAL_EMAIL, plan=_UNLIMITED).on_conflict_do_nothing()
            )
            query = select(_ACCOUNTS.c.id).where(_ACCOUNTS.c.email == LOCAL_EMAIL).with_for_update()
            account_id = (await connection.execute(query)).scalar_one()
            living = (_KEYS.c.account_id == account_id) & _KEYS.c.is_primary & _KEYS.c.revoked_at.is_(None)
            if not rotate and await connection.scalar(select(_KEYS.c.id).where(living)) is not None:
                return None
            return (await replace_primary_key(connection, account_id)).secret
    finally:
        await engine.dispose()
