"""What an account sees and changes of itself: its profile, its username, its end."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.accounts.endings import delete_account
from gateway.accounts.names import check_names
from gateway.accounts.schemas import AccountView
from gateway.accounts.service import Accounts, taken
from gateway.audit.service import Act, Actor, record
from gateway.db.tables import Account, table_of
from gateway.errors import NotFoundError, StaleSignInError

_ACCOUNTS: Final[Any] = table_of(Account)


class Profiles:
    """Reads, renames and deletes accounts for their owners."""

    def __init__(self, engine: AsyncEngine, accounts: Accounts) -> None:
        self._engine = engine
        self._accounts = accounts

    async def read(self, account_id: UUID) -> AccountView:
        """An account. Raises NotFoundError."""
        async with self._engine.connect() as connection:
            return await _read(connection, account_id)

    async def rename(self, account_id: UUID, username: str, *, actor: Actor) -> AccountView:
        """Give an account another username.

        Raises:
            InvalidBodyError: It is malformed.
            UsernameTakenError: Another account has it, in whatever case.
        """
        check_names(None, username)
        async with self._engine.begin() as connection:
            by_id = _ACCOUNTS.c.id == account_id
            former: str | None = await connection.scalar(select(_ACCOUNTS.c.username).where(by_id).with_for_update())
            try:
                async with connection.begin_nested():
                    await connection.execute(update(_ACCOUNTS).where(by_id).values(username=username))
            except IntegrityError as error:
                raise taken(error) from error
            act = Act(
                actor,
                "account.rename",
                "account",
                str(account_id),
                before={"username": former},
                after={"username": username},
            )
            await record(connection, act)
            return await _read(connection, account_id)

    async def delete(self, account_id: UUID, *, password: str | None, fresh: bool, actor: Actor) -> None:
        """Delete an account whose owner is there: by the password, or because of having just signed in (`fresh`).

        Raises:
            StaleSignInError: There is neither.
            WrongPasswordError: The password is wrong.
            LastAdminError: Nobody else could administer the platform.
        """
        if password is not None:
            await self._accounts.confirm(account_id, password, actor=actor)
        elif not fresh:
            raise StaleSignInError
        async with self._engine.begin() as connection:
            await delete_account(connection, account_id, actor=actor)


async def _read(connection: AsyncConnection, account_id: UUID) -> AccountView:
    row = (await connection.execute(select(_ACCOUNTS).where(_ACCOUNTS.c.id == account_id))).one_or_none()
    if row is None:
        raise NotFoundError("There is no such account.")
    return AccountView(
        id=row.id,
        number=row.number,
        email=row.email,
        email_verified=row.email_verified_at is not None,
        username=row.username,
        role=row.role,
        plan=row.plan,
        has_password=row.password_hash is not None,
        created_at=row.created_at,
    )
