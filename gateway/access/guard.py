"""Who is calling: the account behind the credentials of a request, and whether it may do what it asks.

Routes name `require(scope)` among their guards, which runs before anything else of the request is looked at, and find
the caller as `request.user`. Detections do not: theirs are checked by the statement that admits them.
"""

import ipaddress
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from gateway.access.credentials import CredentialReader, Credentials
from gateway.access.scopes import ADMIN, allows
from gateway.db.engine import Pool
from gateway.errors import (
    AccountSuspendedError,
    AddressNotAllowedError,
    EmailUnverifiedError,
    ForbiddenError,
    InvalidKeyError,
    InvalidTokenError,
    MissingScopeError,
    StaleSignInError,
)
from gateway.keys.last_use import LastUse
from gateway.limits.allowance import ALLOWANCE_COLUMNS, Allowance, read_allowance
from gateway.limits.headers import note_allowance

SUPER_ADMIN: Final = "super_admin"
FRESH: Final = timedelta(minutes=10)
"""How long somebody who signed in is taken to be there still."""
_CLOCKS_DIFFER_S: Final = 60

_IDENTIFY: Final[LiteralString] = f"""
    SELECT c.account_id, c.key_id, c.session_id, c.number, c.email, c.username, c.role, c.status, c.scopes,
        c.allowed_addresses, {ALLOWANCE_COLUMNS}
    FROM find_caller(%(key_digest)s::bytea, %(session_id)s::uuid, %(issuer)s::text, %(subject)s::text) c
    LEFT JOIN meters m ON m.subject_id = c.account_id
    LEFT JOIN meters k ON k.subject_id = c.key_meter_id
"""  # noqa: S608 - The inserted text is a constant list of columns.
_RECENT: Final[LiteralString] = "SELECT 1 FROM sessions WHERE id = %s AND created_at > now() - %s::interval"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The account behind a request and what it may still use.

    One of `key_id` and `session_id` tells how it signed in; neither is set for a user of an outside issuer. `scopes`
    is None where the caller may do whatever the account may. `signed_in_at` is what an outside issuer says, see
    `Credentials`. `number` is the account's id for clients of contract B.
    """

    account_id: UUID
    number: int
    email: str | None
    username: str | None
    role: str
    key_id: UUID | None
    session_id: UUID | None
    scopes: frozenset[str] | None
    address: str | None
    signed_in_at: float | None
    allowance: Allowance

    @property
    def is_admin(self) -> bool:
        """Whether the account is a super_admin's."""
        return self.role == SUPER_ADMIN


class Guard:
    """Finds the account behind credentials, with one query and no cache: what is revoked or closed is dead at once."""

    def __init__(self, pool: Pool, reader: CredentialReader, last_use: LastUse) -> None:
        self._pool = pool
        self._reader = reader
        self._last_use = last_use

    async def credentials(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Credentials:
        """What a request carries, not yet looked up. Raises AuthenticationError."""
        return await self._reader.read(connection)

    async def identify(self, connection: ASGIConnection[Any, Any, Any, Any], scope: str | None = None) -> Caller:
        """Who sent this request, and may do what `scope` names; the answer will carry the account's limits.

        Raises:
            AuthenticationError: No credentials, none that are known, or they are not valid any more.
            ForbiddenError: The account is suspended or unverified, or the key may not do this or not from this address.
        """
        credentials = await self.credentials(connection)
        parameters = {
            "key_digest": credentials.key_digest,
            "session_id": credentials.session_id,
            "issuer": credentials.issuer,
            "subject": credentials.subject,
        }
        async with self._pool.connection() as database:
            row = await (await database.execute(_IDENTIFY, parameters)).fetchone()
        if row is None:
            raise InvalidKeyError if credentials.key_digest else InvalidTokenError
        status, scopes, addresses = row[7], row[8], row[9]
        allowance = read_allowance(row[10:])
        note_allowance(connection.scope, allowance)
        if status == "suspended":
            raise AccountSuspendedError
        if status == "unverified":
            raise EmailUnverifiedError
        caller = Caller(
            account_id=row[0],
            key_id=row[1],
            session_id=row[2],
            number=row[3],
            email=row[4],
            username=row[5],
            role=row[6],
            scopes=None if scopes is None else frozenset(scopes),
            address=credentials.address,
            signed_in_at=credentials.signed_in_at,
            allowance=allowance,
        )
        if addresses is not None and not _within(credentials.address, addresses):
            raise AddressNotAllowedError
        if scope is not None and not allows(caller.scopes, scope):
            raise MissingScopeError(f"This key lacks the scope `{scope}`.")
        self._last_use.note(key_id=caller.key_id, session_id=caller.session_id)
        return caller

    async def is_fresh(self, caller: Caller, within: timedelta) -> bool:
        """Whether somebody has just signed in: a session that began, or an outside token that was given, so recently.

        A key never is.
        """
        if caller.session_id is not None:
            async with self._pool.connection() as database:
                return await (await database.execute(_RECENT, (caller.session_id, within))).fetchone() is not None
        if caller.key_id is not None or caller.signed_in_at is None:
            return False
        return -_CLOCKS_DIFFER_S <= time.time() - caller.signed_in_at < within.total_seconds()


def require(
    scope: str | None = None,
) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]:
    """A guard that lets only known callers pass, with a key that has the scope where one is named."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        keeper: Guard = connection.app.state["guard"]
        connection.scope["user"] = await keeper.identify(connection, scope)

    return guard


async def is_fresh(connection: ASGIConnection[Any, Any, Any, Any], within: timedelta = FRESH) -> bool:
    """Whether the caller, who passed `require` before, has just signed in."""
    keeper: Guard = connection.app.state["guard"]
    return await keeper.is_fresh(connection.user, within)


def require_fresh(
    within: timedelta = FRESH,
) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]:
    """A guard, after `require`, for what gives somebody a lasting way in: it takes no key and no session left open."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if not await is_fresh(connection, within):
            raise StaleSignInError("Sign in anew for this: it needs a session that has just begun, and takes no key.")

    return guard


async def require_admin(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let only super_admins pass. Raises AuthenticationError or ForbiddenError for the others."""
    keeper: Guard = connection.app.state["guard"]
    caller = await keeper.identify(connection, ADMIN)
    if not caller.is_admin:
        raise ForbiddenError
    connection.scope["user"] = caller


def _within(address: str | None, networks: list[str]) -> bool:
    if address is None:
        return False
    place = ipaddress.ip_address(address)
    return any(place in ipaddress.ip_network(network) for network in networks)
