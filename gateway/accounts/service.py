"""Accounts and their primary key: sign up, recognise by password, regenerate the key."""

import re
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.access.scopes import EVERYTHING_ORDINARY
from gateway.accounts.passwords import Passwords
from gateway.db.tables import Account, ApiKey, table_of
from gateway.errors import EmailTakenError, InvalidBodyError, WrongPasswordError
from gateway.keys.secrets import NewKey, make_key
from gateway.settings import GatewaySettings

_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]+\.[^@\s\x00-\x1f\x7f.]+")

_ACCOUNTS: Final[Any] = table_of(Account)
_KEYS: Final[Any] = table_of(ApiKey)


@dataclass(frozen=True, slots=True)
class Member:
    """An account that proved its password, and the prefix of its primary key (None: it has no living one)."""

    account_id: UUID
    email: str
    key_prefix: str | None


class Accounts:
    """What can be done with accounts."""

    def __init__(self, engine: AsyncEngine, passwords: Passwords, settings: GatewaySettings) -> None:
        self._engine = engine
        self._passwords = passwords
        self._settings = settings

    async def sign_up(self, email: str, password: str) -> NewKey:
        """Make an account with the usual limits and its primary key.

        Raises:
            InvalidBodyError: This is no e-mail address.
            EmailTakenError: There is one with this e-mail, in whatever case.
        """
        if not _EMAIL.fullmatch(email):
            raise InvalidBodyError("The e-mail address is not valid.")
        password_hash = await self._passwords.hash(password)
        values = {
            "email": email,
            "password_hash": password_hash,
            "plan": self._settings.default_plan,
        }
        try:
            async with self._engine.begin() as connection:
                account_id = (
                    await connection.execute(_ACCOUNTS.insert().values(values).returning(_ACCOUNTS.c.id))
                ).scalar_one()
                return await issue_primary_key(connection, account_id)
        except IntegrityError as error:
            raise EmailTakenError from error

    async def recognise(self, email: str, password: str) -> Member:
        """The active account with this e-mail and password; unknown e-mails take as long as known ones.

        Raises:
            WrongPasswordError: One of them is wrong, or the account may not log in.
        """
        if not _EMAIL.fullmatch(email):
            raise WrongPasswordError
        query = (
            select(_ACCOUNTS.c.id, _ACCOUNTS.c.email, _ACCOUNTS.c.password_hash, _KEYS.c.prefix)
            .join(
                _KEYS,
                (_KEYS.c.account_id == _ACCOUNTS.c.id) & _KEYS.c.is_primary & _KEYS.c.revoked_at.is_(None),
                isouter=True,
            )
            .where(func.lower(_ACCOUNTS.c.email) == func.lower(email), _ACCOUNTS.c.status == "active")
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        right = await self._passwords.verify(password, row.password_hash if row else None)
        if row is None or not right:
            raise WrongPasswordError
        return Member(account_id=row.id, email=row.email, key_prefix=row.prefix)

    async def regenerate_key(self, email: str, password: str) -> NewKey:
        """Revoke the primary key and issue a new one, in one transaction.

        Raises:
            WrongPasswordError: As from `recognise`.
        """
        member = await self.recognise(email, password)
        async with self._engine.begin() as connection:
            return await replace_primary_key(connection, member.account_id)


async def issue_primary_key(connection: AsyncConnection, account_id: UUID) -> NewKey:
    """Store a new primary key. The account must have no living one."""
    key = make_key()
    values = {
        "account_id": account_id,
        "digest": key.digest,
        "prefix": key.prefix,
        "last4": key.last4,
        "name": "primary",
        "scopes": [EVERYTHING_ORDINARY],
        "is_primary": True,
    }
    await connection.execute(_KEYS.insert().values(values))
    return key


async def replace_primary_key(connection: AsyncConnection, account_id: UUID) -> NewKey:
    """Revoke the living primary key, if any, and store a new one; the account's row is locked meanwhile."""
    await connection.execute(select(_ACCOUNTS.c.id).where(_ACCOUNTS.c.id == account_id).with_for_update())
    living = (_KEYS.c.account_id == account_id) & _KEYS.c.is_primary & _KEYS.c.revoked_at.is_(None)
    await connection.execute(update(_KEYS).where(living).values(revoked_at=func.now()))
    return await issue_primary_key(connection, account_id)
