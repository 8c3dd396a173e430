"""Accounts and their primary key: register, log in by password, regenerate the key.

All ways to sign in by a password go through `Accounts.log_in`. Whether the name is known must not show before the
password was right: the same statements run, and the same hash is worked on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.access.scopes import EVERYTHING_ORDINARY
from gateway.accounts.back_off import BackOff, Subject
from gateway.accounts.letters import Letters
from gateway.accounts.names import check_names, is_login
from gateway.accounts.passwords import Passwords
from gateway.accounts.sessions import check_standing, has_password, holds, remember_address
from gateway.audit.service import Act, Actor, record
from gateway.db.tables import Account, ApiKey, Session, table_of
from gateway.errors import EmailTakenError, NoPasswordError, OverloadedError, UsernameTakenError, WrongPasswordError
from gateway.keys.secrets import NewKey, make_key
from gateway.settings import GatewaySettings

NOBODY: Final = Actor(account_id=None, kind="anonymous")

_ACCOUNTS: Final[Any] = table_of(Account)
_KEYS: Final[Any] = table_of(ApiKey)
_SESSIONS: Final[Any] = table_of(Session)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """An account just made, with its primary key, whose secret is shown this once.

    `awaits_verification`: neither it nor its key is of use until the e-mail is verified.
    """

    account_id: UUID
    number: int
    email: str | None
    username: str | None
    key: NewKey
    awaits_verification: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An account that proved its password, and the prefix of its primary key (None: it has no living one).

    `proof` holds as long as the password is that one.
    """

    account_id: UUID
    number: int
    email: str | None
    username: str | None
    role: str
    key_prefix: str | None
    proof: ColumnElement[bool] = field(repr=False)


class Accounts:
    """What can be done with accounts."""

    def __init__(self, engine: AsyncEngine, passwords: Passwords, settings: GatewaySettings) -> None:
        self._engine = engine
        self._passwords = passwords
        self._settings = settings
        self._back_off = BackOff(settings)
        self._letters = Letters(engine, settings)

    async def register(
        self, *, email: str | None, password: str | None, username: str | None = None, actor: Actor | None = None
    ) -> Registered:
        """Make an account of the usual plan and its primary key.

        Raises:
            InvalidBodyError: The e-mail or the username is malformed, or there is neither.
            EmailTakenError: There is one with this e-mail, in whatever case.
            UsernameTakenError: There is one with this username, in whatever case.
            OverloadedError: Too many passwords wait to be hashed.
        """
        check_names(email, username)
        password_hash = None if password is None else await self._passwords.hash(password)
        by = actor or NOBODY
        async with self._engine.begin() as connection:
            made = await create_account(
                connection,
                email=email,
                username=username,
                password_hash=password_hash,
                plan=self._settings.default_plan,
                actor=by,
            )
            if email is not None:
                await self._letters.post_token(connection, made.account_id, email, "verify_email")
            await remember_address(connection, made.account_id, method="register", address=by.address)
        locked = self._settings.require_verified_email and email is not None and password_hash is not None
        return replace(made, awaits_verification=locked)

    async def log_in(
        self, login: str, password: str, *, address: str | None, actor: Actor | None = None, method: str | None = None
    ) -> Member:
        """The account with this e-mail or username, and this password.

        Args:
            login: E-mail or username, in whatever case.
            password: What was given as its password.
            address: Where the call comes from.
            actor: For the audit log, with the id of the request.
            method: Where no session follows: what this sign-in is remembered as.

        Raises:
            WrongPasswordError: One of them is wrong.
            TooManyAttemptsError: Too many were wrong before.
            AccountSuspendedError: The account is suspended.
            EmailUnverifiedError: It has to verify its e-mail first.
            OverloadedError: Too many passwords wait to be checked.
        """
        if not is_login(login):
            raise WrongPasswordError
        async with self._engine.begin() as connection:
            row = (await connection.execute(_find(login, address))).mappings().one_or_none()
            familiar = row["id"] if row is not None and row["familiar"] else None
            subjects = self._back_off.subjects(login, address, familiar=familiar)
            await self._back_off.count(connection, subjects)
        right = await self._verify(password, row["password_hash"] if row is not None else None, subjects)
        async with self._engine.begin() as connection:
            if row is not None and right and await holds(connection, row["id"], has_password(row["password_hash"])):
                await self._back_off.succeed(connection, subjects)
                if method is not None:
                    await remember_address(connection, row["id"], method=method, address=address)
            else:
                right = False
                target = None if row is None else str(row["id"])
                await record(connection, Act(actor or NOBODY, "session.refuse", "account", target))
        if row is None or not right:
            raise WrongPasswordError
        check_standing(row, verified_only=self._settings.require_verified_email)
        return Member(
            account_id=row["id"],
            number=row["number"],
            email=row["email"],
            username=row["username"],
            role=row["role"],
            key_prefix=row["prefix"],
            proof=has_password(row["password_hash"]),
        )

    async def confirm(self, account_id: UUID, password: str, *, actor: Actor) -> str:
        """Have somebody who is signed in prove the account's password; returns the hash that it was right for.

        Raises:
            NoPasswordError: The account has none.
            WrongPasswordError: It is wrong; as a 403, for the caller's credentials are right.
            TooManyAttemptsError: It was wrong too often.
            OverloadedError: Too many passwords wait to be checked.
        """
        subjects = self._back_off.of_confirmation(account_id)
        async with self._engine.begin() as connection:
            query = select(_ACCOUNTS.c.password_hash).where(_ACCOUNTS.c.id == account_id)
            password_hash: str | None = await connection.scalar(query)
            if password_hash is None:
                raise NoPasswordError
            await self._back_off.count(connection, subjects)
        right = await self._verify(password, password_hash, subjects)
        async with self._engine.begin() as connection:
            if right:
                await self._back_off.succeed(connection, subjects)
                return password_hash
            await record(connection, Act(actor, "session.refuse", "account", str(account_id)))
        raise WrongPasswordError("The password is wrong.", status=403)

    async def _verify(self, password: str, password_hash: str | None, subjects: Sequence[Subject]) -> bool:
        """Whether the password is right, as far as it could be looked at; otherwise the try does not count."""
        try:
            return await self._passwords.verify(password, password_hash)
        except OverloadedError:
            async with self._engine.begin() as connection:
                await self._back_off.take_back(connection, subjects)
            raise

    async def regenerate_key(
        self, login: str, password: str, *, address: str | None = None, actor: Actor | None = None
    ) -> NewKey:
        """Revoke the primary key and issue a new one, in one transaction.

        Raises:
            GatewayError: As from `log_in`.
        """
        member = await self.log_in(login, password, address=address, actor=actor, method="regenerate-key")
        async with self._engine.begin() as connection:
            key = await replace_primary_key(connection, member.account_id)
            if not await holds(connection, member.account_id, member.proof):
                raise WrongPasswordError
            by = Actor(account_id=member.account_id, kind="user", address=address)
            after = {"prefix": key.prefix}
            await record(connection, Act(by, "key.regenerate", "account", str(member.account_id), after=after))
            return key


async def create_account(
    connection: AsyncConnection,
    *,
    email: str | None,
    username: str | None,
    password_hash: str | None,
    plan: str,
    actor: Actor,
    email_verified: bool = False,
) -> Registered:
    """Make an account and its primary key; also for users that others vouch for, who have no password.

    The transaction goes on unharmed where this raises.

    Raises:
        EmailTakenError: There is one with this e-mail, in whatever case.
        UsernameTakenError: There is one with this username, in whatever case.
    """
    values = {
        "email": email,
        "username": username,
        "password_hash": password_hash,
        "plan": plan,
        "email_verified_at": func.now() if email_verified else None,
    }
    try:
        async with connection.begin_nested():
            inserted = await connection.execute(
                _ACCOUNTS.insert().values(values).returning(_ACCOUNTS.c.id, _ACCOUNTS.c.number)
            )
            row = inserted.one()
    except IntegrityError as error:
        raise taken(error) from error
    account_id: UUID = row.id
    key = await issue_primary_key(connection, account_id)
    after = {"email": email, "username": username, "plan": plan}
    await record(connection, Act(actor, "account.create", "account", str(account_id), after=after))
    return Registered(account_id=account_id, number=row.number, email=email, username=username, key=key)


def taken(error: IntegrityError) -> EmailTakenError | UsernameTakenError:
    """Which of the two names was taken. Raises the error itself where it is about something else."""
    name = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if name == "accounts_email_key":
        return EmailTakenError()
    if name == "accounts_username_key":
        return UsernameTakenError()
    raise error


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
    """Revoke the living primary key, if any, and store a new one; the account's row is locked meanwhile.

    What the primary key was rotated from, and may still live, shares its meter and is revoked with it.
    """
    query = select(_ACCOUNTS.c.id).where(_ACCOUNTS.c.id == account_id).with_for_update(key_share=True)
    await connection.execute(query)
    primary = _KEYS.alias()
    meters = select(func.coalesce(primary.c.meter_id, primary.c.id)).where(
        (primary.c.account_id == account_id) & primary.c.is_primary
    )
    living = (_KEYS.c.account_id == account_id) & _KEYS.c.revoked_at.is_(None)
    kin = func.coalesce(_KEYS.c.meter_id, _KEYS.c.id).in_(meters)
    await connection.execute(update(_KEYS).where(living & kin).values(revoked_at=func.now()))
    return await issue_primary_key(connection, account_id)


def _find(login: str, address: str | None) -> Any:
    """The account by its e-mail or username, its primary key's prefix, and whether the address is familiar to it."""
    name = _ACCOUNTS.c.email if "@" in login else _ACCOUNTS.c.username
    familiar = exists().where(_SESSIONS.c.account_id == _ACCOUNTS.c.id, _SESSIONS.c.address == address)
    primary = (_KEYS.c.account_id == _ACCOUNTS.c.id) & _KEYS.c.is_primary & _KEYS.c.revoked_at.is_(None)
    account = [_ACCOUNTS.c[key] for key in ("id", "number", "email", "username", "role", "status")]
    secrets = [_ACCOUNTS.c.email_verified_at, _ACCOUNTS.c.password_hash]
    return (
        select(*account, *secrets, _KEYS.c.prefix, familiar.label("familiar"))
        .join(_KEYS, primary, isouter=True)
        .where(func.lower(name) == func.lower(login), _ACCOUNTS.c.status != "deleted")
    )
