"""Writes the audit log: each act in the transaction of the act itself, so that neither is there without the other.

The worker chains what is written afterwards (`audit.chain`), so that writers never wait for each other.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from litestar.connection import ASGIConnection
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.access.credentials import client_address
from gateway.access.guard import Caller
from gateway.db.tables import AuditEvent, table_of
from gateway.logs import redact
from gateway.rendering import request_id_of

ActorKind = Literal["user", "key", "system", "anonymous"]

_EVENTS: Final[Any] = table_of(AuditEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acted: a signed-in user, a key, the system itself (a command, the worker), or somebody unknown."""

    account_id: UUID | None
    kind: ActorKind
    key_id: UUID | None = None
    address: str | None = None
    request_id: str | None = None


SYSTEM: Final = Actor(account_id=None, kind="system")


@dataclass(frozen=True, slots=True)
class Act:
    """What was done: `action` is "noun.verb", such as "account.suspend"; `before` and `after` hold what it changed.

    What is named like a secret (`password`, `token`, …) is blotted out when the act is recorded.
    """

    actor: Actor
    action: str
    target_kind: str
    target_id: str | None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


async def record(connection: AsyncConnection, act: Act) -> None:
    """Write an act down, in the transaction of the connection."""
    actor = act.actor
    await connection.execute(
        insert(_EVENTS).values(
            actor_id=actor.account_id,
            actor_kind=actor.kind,
            key_id=actor.key_id,
            address=actor.address,
            request_id=actor.request_id,
            action=act.action,
            target_kind=act.target_kind,
            target_id=act.target_id,
            before=_plain(act.before),
            after=_plain(act.after),
        )
    )


def actor_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Actor:
    """Who sent a request, where from, and under which request id; anonymous where no guard has found a caller."""
    address, request_id = client_address(connection), request_id_of(connection.scope) or None
    caller = connection.scope.get("user")
    if not isinstance(caller, Caller):
        return Actor(account_id=None, kind="anonymous", address=address, request_id=request_id)
    return Actor(
        account_id=caller.account_id,
        kind="user" if caller.key_id is None else "key",
        key_id=caller.key_id,
        address=address,
        request_id=request_id,
    )


def _plain(values: dict[str, Any] | None) -> dict[str, Any] | None:
    """The values as JSON knows them, without secrets."""
    return None if values is None else redact(msgspec.to_builtins(values))
