"""Who is calling: the API key of a request, and the account behind it.

Routes name `require_key` among their guards, which runs before anything else of the request is looked at, and find
the caller as `request.user`. Detections do not: their key is checked inside the statement that admits them.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from gateway.db.engine import Pool
from gateway.errors import InvalidKeyError, MissingKeyError
from gateway.keys.last_use import LastUse
from gateway.keys.secrets import digest_key
from gateway.limits.allowance import ALLOWANCE_COLUMNS, Allowance, read_allowance
from gateway.limits.headers import note_allowance

_BEARER = "bearer "

_AUTHENTICATE = f"""
    SELECT k.id, a.id, {ALLOWANCE_COLUMNS}
    FROM api_keys k
    JOIN accounts a ON a.id = k.account_id
    LEFT JOIN usage_days d ON d.account_id = a.id AND d.day = (now() AT TIME ZONE 'utc')::date
    LEFT JOIN bursts b ON b.account_id = a.id
    WHERE k.digest = %(digest)s AND k.revoked_at IS NULL AND a.status = 'active'
"""  # noqa: S608 - The inserted text is a constant list of columns.


@dataclass(frozen=True, slots=True)
class Caller:
    """The account and key behind a request, and what the account may still use."""

    key_id: UUID
    account_id: UUID
    allowance: Allowance


def presented_key(connection: ASGIConnection[Any, Any, Any, Any]) -> bytes:
    """Digest of the key that a request carries as `x-api-key` or as `Authorization: Bearer`.

    Raises:
        MissingKeyError: It carries none.
        InvalidKeyError: It is no key of ours, or it was mistyped.
    """
    secret = connection.headers.get("x-api-key")
    if not secret:
        authorization = connection.headers.get("authorization", "")
        if not authorization.lower().startswith(_BEARER):
            raise MissingKeyError
        secret = authorization[len(_BEARER) :]
    return digest_key(secret.strip())


class KeyGuard:
    """Finds the account behind a key, with one query and no cache: a revoked key is dead at once."""

    def __init__(self, pool: Pool, last_use: LastUse) -> None:
        self._pool = pool
        self._last_use = last_use

    async def identify(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
        """Who sent this request; its answer will carry the account's limits.

        Raises:
            AuthenticationError: No key, no such key, revoked, or its account is suspended.
        """
        digest = presented_key(connection)
        async with self._pool.connection() as database:
            row = await (await database.execute(_AUTHENTICATE, {"digest": digest})).fetchone()
        if row is None:
            raise InvalidKeyError
        caller = Caller(key_id=row[0], account_id=row[1], allowance=read_allowance(row[2:]))
        note_allowance(connection.scope, caller.allowance)
        self._last_use.note(caller.key_id)
        return caller


async def require_key(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let only callers with a valid key pass. Raises AuthenticationError for the others."""
    guard: KeyGuard = connection.app.state["guard"]
    connection.scope["user"] = await guard.identify(connection)
