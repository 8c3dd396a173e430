"""Sessions: what stands behind an access token, and the family of refresh tokens that keeps it alive.

A refresh token is exchanged once for the next. Its second use means that two hold it, and nobody can tell which of them
is the owner: the session closes, and with it every token of the family, also the newest.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from litestar.connection import ASGIConnection
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.access.tokens import Claims, mint_access_token
from gateway.accounts.schemas import SessionPage, SessionView
from gateway.audit.service import Act, Actor, record
from gateway.db.paging import read_cursor, write_cursor
from gateway.db.tables import Account, RefreshToken, Session, table_of
from gateway.errors import AccountSuspendedError, EmailUnverifiedError, InvalidTokenError, NotFoundError
from gateway.settings import GatewaySettings

_ACCOUNTS: Final[Any] = table_of(Account)
_SESSIONS: Final[Any] = table_of(Session)
_REFRESH: Final[Any] = table_of(RefreshToken)

_SHOWN: Final = ("id", "method", "client", "address", "created_at", "last_used_at", "expires_at")
_TOKEN_BYTES: Final = 32
_CLIENT_LENGTH: Final = 200
_KEPT_FOR: Final = timedelta(days=15)
"""Half of the time after which expired sessions are removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a sign-in hands out, shown this once; `expires_in` are the seconds that the access token lives."""

    access_token: str
    refresh_token: str | None
    expires_in: int
    session_id: UUID
    account_id: UUID


class Sessions:
    """Opens, refreshes and closes sessions."""

    def __init__(self, engine: AsyncEngine, settings: GatewaySettings) -> None:
        self._engine = engine
        self._key = settings.token_key.get_secret_value()
        self._access = timedelta(seconds=settings.access_token_s)
        self._refresh = timedelta(seconds=settings.refresh_token_s)
        self._verified_only = settings.require_verified_email

    async def open(
        self,
        account_id: UUID,
        *,
        method: str,
        address: str | None,
        client: str,
        access_lifetime: timedelta | None = None,
        with_refresh: bool = True,
        proof: ColumnElement[bool] | None = None,
        actor: Actor | None = None,
    ) -> Tokens:
        """Open a session for an account that has just proved itself.

        Args:
            account_id: Whose session it is.
            method: How it proved itself, such as "password".
            address: Where it comes from.
            client: What it calls itself, see `client_name`.
            access_lifetime: Of the access token; that of the settings where it is None.
            with_refresh: Whether a refresh token comes with it; without one the session ends with its access token.
            proof: What has to hold still, of the account's row or others: what it proved itself with may have been
                replaced meanwhile.
            actor: For the audit log, with the id of the request.

        Raises:
            AccountSuspendedError: The account may not sign in.
            EmailUnverifiedError: It has to verify its e-mail first.
            InvalidTokenError: There is no such account any more, or `proof` does not hold.
        """
        access = access_lifetime or self._access
        async with self._engine.begin() as connection:
            # What changes how an account signs in waits for this, or this for that; then it closes this session too.
            await connection.execute(
                select(_ACCOUNTS.c.id).where(_ACCOUNTS.c.id == account_id).with_for_update(read=True)
            )
            await self._check(connection, account_id)
            if proof is not None and not await holds(connection, account_id, proof):
                raise InvalidTokenError("This way to sign in was replaced just now; sign in anew.")
            values = {
                "account_id": account_id,
                "method": method,
                "client": client[:_CLIENT_LENGTH],
                "address": address,
                # Where refresh tokens are made to live shorter than an access token, it is still good for all its life.
                "expires_at": func.now() + (max(access, self._refresh) if with_refresh else access),
            }
            inserted = await connection.execute(_SESSIONS.insert().values(values).returning(_SESSIONS.c.id))
            session_id: UUID = inserted.scalar_one()
            refresh_token = await self._issue(connection, session_id) if with_refresh else None
            by = actor or Actor(account_id=account_id, kind="user", address=address)
            act = Act(
                replace(by, account_id=account_id, kind="user"),
                "session.open",
                "session",
                str(session_id),
                after={"method": method, "client": values["client"]},
            )
            await record(connection, act)
        return self._tokens(account_id, session_id, refresh_token, access)

    async def refresh(self, refresh_token: str, *, actor: Actor) -> Tokens:
        """Exchange a refresh token for new tokens of the same session.

        Raises:
            InvalidTokenError: It is none of ours, was used before, has expired, or its session is closed.
            AccountSuspendedError: The account was suspended meanwhile.
            EmailUnverifiedError: It has to verify its e-mail first.
        """
        digest = token_digest(refresh_token)
        async with self._engine.begin() as connection:
            fresh = (_REFRESH.c.digest == digest) & _REFRESH.c.used_at.is_(None) & (_REFRESH.c.expires_at > func.now())
            taken = update(_REFRESH).where(fresh).values(used_at=func.now()).returning(_REFRESH.c.session_id)
            session_id: UUID | None = await connection.scalar(taken)
            if session_id is not None:
                return await self._renew(connection, session_id)
            await self._close_reused(connection, digest, actor)
        raise InvalidTokenError("The refresh token is not valid.", code="invalid_refresh_token")

    async def page(self, account_id: UUID, *, cursor: str | None, limit: int, current: UUID | None) -> SessionPage:
        """Up to `limit` open sessions of an account, newest first, from a cursor on. Raises InvalidCursorError."""
        columns = [_SESSIONS.c[name] for name in _SHOWN]
        query = select(*columns).where(_open_of(account_id)).order_by(_SESSIONS.c.id.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(_SESSIONS.c.id < read_cursor(cursor))
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        data = tuple(SessionView(**row, current=row["id"] == current) for row in rows[:limit])
        return SessionPage(data=data, next_cursor=write_cursor(data[-1].id) if len(rows) > limit else None)

    async def close(self, account_id: UUID, session_id: UUID, *, actor: Actor) -> None:
        """Close one session of an account. Raises NotFoundError."""
        one = _open_of(account_id) & (_SESSIONS.c.id == session_id)
        async with self._engine.begin() as connection:
            closed = await connection.execute(update(_SESSIONS).where(one).values(closed_at=func.now()))
            if not closed.rowcount:
                raise NotFoundError("There is no such session.")
            await record(connection, Act(actor, "session.close", "session", str(session_id)))

    async def close_all(self, account_id: UUID, *, actor: Actor) -> None:
        """Close every session of an account: it is logged out everywhere."""
        async with self._engine.begin() as connection:
            closed = await close_sessions(connection, account_id)
            act = Act(actor, "session.close_all", "account", str(account_id), after={"sessions_closed": closed})
            await record(connection, act)

    async def _renew(self, connection: AsyncConnection, session_id: UUID) -> Tokens:
        living = _SESSIONS.c.closed_at.is_(None) & (_SESSIONS.c.expires_at > func.now())
        renewed = (
            update(_SESSIONS)
            .where(_SESSIONS.c.id == session_id, living)
            .values(last_used_at=func.now(), expires_at=func.now() + self._refresh)
            .returning(_SESSIONS.c.account_id)
        )
        account_id: UUID | None = await connection.scalar(renewed)
        if account_id is None:
            raise InvalidTokenError("The refresh token is not valid.", code="invalid_refresh_token")
        await self._check(connection, account_id)
        refresh_token = await self._issue(connection, session_id)
        return self._tokens(account_id, session_id, refresh_token, self._access)

    async def _close_reused(self, connection: AsyncConnection, digest: bytes, actor: Actor) -> None:
        """Close the session whose refresh token was used again."""
        family = select(_REFRESH.c.session_id).where(_REFRESH.c.digest == digest, _REFRESH.c.used_at.is_not(None))
        living = _SESSIONS.c.id.in_(family) & _SESSIONS.c.closed_at.is_(None)
        closing = update(_SESSIONS).where(living).values(closed_at=func.now()).returning(_SESSIONS.c.id)
        session_id: UUID | None = await connection.scalar(closing)
        if session_id is not None:
            await record(connection, Act(actor, "session.close_reused", "session", str(session_id)))

    async def _issue(self, connection: AsyncConnection, session_id: UUID) -> str:
        secret, digest = make_token()
        values = {"digest": digest, "session_id": session_id, "expires_at": func.now() + self._refresh}
        await connection.execute(_REFRESH.insert().values(values))
        return secret

    async def _check(self, connection: AsyncConnection, account_id: UUID) -> None:
        """Refuse an account that may not sign in."""
        query = select(
            _ACCOUNTS.c.status, _ACCOUNTS.c.email, _ACCOUNTS.c.email_verified_at, _ACCOUNTS.c.password_hash
        ).where(_ACCOUNTS.c.id == account_id)
        row = (await connection.execute(query)).mappings().one_or_none()
        if row is None or row["status"] == "deleted":
            raise InvalidTokenError
        check_standing(row, verified_only=self._verified_only)

    def _tokens(self, account_id: UUID, session_id: UUID, refresh_token: str | None, access: timedelta) -> Tokens:
        claims = Claims(account_id=account_id, session_id=session_id)
        return Tokens(
            access_token=mint_access_token(claims, key=self._key, lifetime=access),
            refresh_token=refresh_token,
            expires_in=int(access.total_seconds()),
            session_id=session_id,
            account_id=account_id,
        )


def has_password(password_hash: str) -> ColumnElement[bool]:
    """That the password of an account is still this one; it may be replaced while a hash is worked on."""
    return _ACCOUNTS.c.password_hash == password_hash


async def holds(connection: AsyncConnection, account_id: UUID, proof: ColumnElement[bool]) -> bool:
    """Whether something is true of an account; lock it before where that has to stay so."""
    return await connection.scalar(select(_ACCOUNTS.c.id).where(_ACCOUNTS.c.id == account_id, proof)) is not None


def _open_of(account_id: UUID) -> Any:
    return (
        (_SESSIONS.c.account_id == account_id) & _SESSIONS.c.closed_at.is_(None) & (_SESSIONS.c.expires_at > func.now())
    )


async def close_sessions(connection: AsyncConnection, account_id: UUID, *, but: UUID | None = None) -> int:
    """Close an account's sessions, all of them or all but one; returns how many there were."""
    living = (_SESSIONS.c.account_id == account_id) & _SESSIONS.c.closed_at.is_(None)
    if but is not None:
        living &= _SESSIONS.c.id != but
    closed = await connection.execute(update(_SESSIONS).where(living).values(closed_at=func.now()))
    return closed.rowcount


async def remember_address(connection: AsyncConnection, account_id: UUID, *, method: str, address: str | None) -> None:
    """Keep a sign-in that no session follows as a closed one, so that its address is familiar from now on.

    One that is kept already is good for a while: a program that signs in every minute leaves no trail of them.
    """
    if address is None:
        return
    of_address = (_SESSIONS.c.account_id == account_id) & (_SESSIONS.c.address == address)
    kept = await connection.scalar(
        select(_SESSIONS.c.id).where(of_address, _SESSIONS.c.expires_at > func.now() - _KEPT_FOR).limit(1)
    )
    if kept is None:
        values = {"account_id": account_id, "method": method, "address": address}
        now = {"expires_at": func.now(), "closed_at": func.now()}
        await connection.execute(_SESSIONS.insert().values(values | now))


def check_standing(account: Mapping[str, Any] | Any, *, verified_only: bool) -> None:
    """Refuse to let an account in that was recognised: `account` has status, email, email_verified_at, password_hash.

    The e-mail of an account without a password was vouched for by whoever it signs in with.

    Raises:
        AccountSuspendedError: It is suspended.
        EmailUnverifiedError: Its e-mail has to be verified, and was not.
    """
    if account["status"] == "suspended":
        raise AccountSuspendedError
    unverified = account["email"] is not None and account["email_verified_at"] is None
    if verified_only and unverified and account["password_hash"] is not None:
        raise EmailUnverifiedError


def client_name(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """What a client calls itself, for the list of sessions: its User-Agent, printable and not too long."""
    name = connection.headers.get("user-agent", "")
    return "".join(letter for letter in name if letter.isprintable())[:_CLIENT_LENGTH]


def make_token() -> tuple[str, bytes]:
    """A random token for its owner, and the SHA-256 that is kept of it."""
    secret = secrets.token_urlsafe(_TOKEN_BYTES)
    return secret, token_digest(secret)


def token_digest(secret: str) -> bytes:
    """SHA-256 of a token, whatever was sent as one."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()
