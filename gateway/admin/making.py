"""Makes users straight in the database: how a platform gets its first super_admin."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.access.scopes import ACCOUNT, ADMIN, EVERYTHING_ORDINARY, KEYS
from gateway.accounts.names import check_names
from gateway.accounts.passwords import LONGEST, SHORTEST, Passwords
from gateway.accounts.service import create_account
from gateway.admin.schemas import Role
from gateway.admin.users import hold_plan
from gateway.audit.service import Act, Actor, record
from gateway.db.tables import Account, ApiKey, table_of
from gateway.errors import InvalidBodyError
from gateway.keys.secrets import make_key

_ACCOUNTS: Final[Any] = table_of(Account)
_KEYS: Final[Any] = table_of(ApiKey)
_SCOPES: Final = (EVERYTHING_ORDINARY, ACCOUNT, KEYS, ADMIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """Who is to be made. Whoever has no password signs in by a key, or sets one with a token that is mailed."""

    email: str
    username: str | None
    password: str | None
    role: Role
    plan: str


@dataclass(frozen=True, slots=True)
class MadeUser:
    """An account just made, and its key where one was wanted, whose text is nowhere else."""

    account_id: UUID
    key: str | None


async def make_user(engine: AsyncEngine, user: NewUser, *, with_key: bool, actor: Actor) -> MadeUser:
    """Make an account whose e-mail counts as verified; `with_key`: and a key that may do all that it may.

    Raises:
        InvalidBodyError: A name or the password is none that an account can have, or there is no such plan.
        EmailTakenError: There is one with this e-mail, in whatever case.
        UsernameTakenError: There is one with this username, in whatever case.
    """
    check_names(user.email, user.username)
    password_hash = None if user.password is None else await _hash(user.password)
    async with engine.begin() as connection:
        await hold_plan(connection, user.plan)
        made = await create_account(
            connection,
            email=user.email,
            username=user.username,
            password_hash=password_hash,
            plan=user.plan,
            actor=actor,
            email_verified=True,
        )
        target = str(made.account_id)
        if user.role != "user":
            await connection.execute(update(_ACCOUNTS).where(_ACCOUNTS.c.id == made.account_id).values(role=user.role))
            await record(
                connection, Act(actor, "account.change", "account", target, {"role": "user"}, {"role": user.role})
            )
        if not with_key:
            return MadeUser(made.account_id, None)
        key = make_key()
        values = {
            "account_id": made.account_id,
            "digest": key.digest,
            "prefix": key.prefix,
            "last4": key.last4,
            "name": "admin",
            "scopes": [scope for scope in _SCOPES if scope != ADMIN or user.role != "user"],
        }
        key_id = (await connection.execute(insert(_KEYS).values(values).returning(_KEYS.c.id))).scalar_one()
        told = {name: values[name] for name in ("name", "prefix", "scopes")}
        await record(connection, Act(actor, "key.create", "key", str(key_id), after=told))
        return MadeUser(made.account_id, key.secret)


async def _hash(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidBodyError(f"A password has {SHORTEST} to {LONGEST} characters.")
    passwords = Passwords()
    try:
        return await passwords.hash(password)
    finally:
        passwords.close()
