"""Reads the audit log back, newest first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.audit.schemas import AuditEventView, AuditPage
from gateway.db.paging import first_identifier, read_cursor, write_cursor
from gateway.db.tables import AuditEvent, table_of

_EVENTS: Final[Any] = table_of(AuditEvent)
_LONGEST_TRANSACTION_MS: Final = 60_000
"""An event's `at` is when its transaction began; its id is made at most this much later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which events are meant: all that is set. `action` is a whole one, or only its noun: "account"."""

    actor_id: UUID | None = None
    target_id: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditLog:
    """The audit log, for whoever may read it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(self, wanted: AuditFilter, *, cursor: str | None, limit: int) -> AuditPage:
        """Up to `limit` events, newest first, from a cursor on. Raises InvalidCursorError."""
        query = select(_EVENTS).order_by(_EVENTS.c.id.desc()).limit(limit + 1)
        for condition in _conditions(wanted):
            query = query.where(condition)
        if cursor is not None:
            query = query.where(_EVENTS.c.id < read_cursor(cursor))
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        data = tuple(_view(row) for row in rows[:limit])
        return AuditPage(data=data, next_cursor=write_cursor(data[-1].id) if len(rows) > limit else None)


def _conditions(wanted: AuditFilter) -> list[Any]:
    conditions: list[Any] = []
    if wanted.actor_id is not None:
        conditions.append(_EVENTS.c.actor_id == wanted.actor_id)
    if wanted.target_id is not None:
        conditions.append(_EVENTS.c.target_id == wanted.target_id)
    if wanted.action is not None:
        exact = "." in wanted.action
        action = _EVENTS.c.action
        conditions.append(action == wanted.action if exact else action.startswith(f"{wanted.action}.", autoescape=True))
    # Identifiers sort by time, so that a span of time is a span of the index that is walked.
    if wanted.since is not None:
        conditions += [_EVENTS.c.at >= wanted.since, _EVENTS.c.id >= first_identifier(wanted.since)]
    if wanted.until is not None:
        bound = first_identifier(wanted.until, later_ms=_LONGEST_TRANSACTION_MS)
        conditions += [_EVENTS.c.at < wanted.until, _EVENTS.c.id < bound]
    return conditions


def _view(row: RowMapping) -> AuditEventView:
    values: dict[str, Any] = {name: row[name] for name in AuditEventView.__struct_fields__}
    digest: bytes | None = values.pop("chain_hash")
    return AuditEventView(**values, chain_hash=None if digest is None else digest.hex())
