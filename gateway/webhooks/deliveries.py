"""The log of deliveries: what was sent to whom, what was answered, and how it is sent again."""

from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.paging import read_cursor, write_cursor
from gateway.db.transactions import transaction
from gateway.errors import ConflictError, NotFoundError
from gateway.webhooks.schemas import AnyEvent, DeliveryPage, DeliveryStatus, DeliverySummary, DeliveryView, TryView

MOST_TRIES_SHOWN: Final = 50

_SUMMARY: Final[LiteralString] = """
    d.id, d.endpoint_id, d.message_id, m.event, m.subject_id, d.status, d.tries, d.next_try_at, d.created_at, d.ended_at
"""
# By endpoint, of which an account has few, so that each is read in the order of its index.
_PAGE: Final = text(f"""
    SELECT p.* FROM webhook_endpoints e CROSS JOIN LATERAL (
        SELECT {_SUMMARY} FROM webhook_deliveries d JOIN webhook_messages m ON m.id = d.message_id
        WHERE d.endpoint_id = e.id AND (CAST(:before AS uuid) IS NULL OR d.id < :before)
            AND (CAST(:status AS text) IS NULL OR d.status = :status)
            AND (CAST(:event AS text) IS NULL OR m.event = :event)
        ORDER BY d.id DESC LIMIT :limit
    ) p
    WHERE e.account_id = :account_id AND (CAST(:endpoint_id AS uuid) IS NULL OR e.id = :endpoint_id)
    ORDER BY p.id DESC LIMIT :limit
""")  # noqa: S608 - The inserted text is a constant list of columns.
_ONE: Final = text(f"""
    SELECT {_SUMMARY}, m.body FROM webhook_deliveries d
    JOIN webhook_messages m ON m.id = d.message_id JOIN webhook_endpoints e ON e.id = d.endpoint_id
    WHERE d.id = :id AND e.account_id = :account_id
""")  # noqa: S608 - The same.
_TRIES: Final = text("""
    SELECT number, at, duration_ms, headers, status, answer, error FROM webhook_tries
    WHERE delivery_id = :id ORDER BY number DESC LIMIT :most
""")
_OWNED: Final = text("""
    SELECT e.enabled FROM webhook_endpoints e JOIN webhook_deliveries d ON d.endpoint_id = e.id
    WHERE d.id = :id AND e.account_id = :account_id FOR KEY SHARE OF e
""")
_REPLAY: Final = text("""
    UPDATE webhook_deliveries SET status = 'pending', tries_before = tries, next_try_at = now(), ended_at = NULL
    WHERE id = :id AND status <> 'pending'
""")
_ENQUEUE: Final = text("SELECT enqueue_delivery(:id)")


class DeliveryLog:
    """The deliveries of accounts."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(
        self,
        account_id: UUID,
        *,
        endpoint_id: UUID | None,
        status: DeliveryStatus | None,
        event: AnyEvent | None,
        cursor: str | None,
        limit: int,
    ) -> DeliveryPage:
        """Up to `limit` deliveries of an account, newest first, from a cursor on. Raises InvalidCursorError."""
        parameters: dict[str, Any] = {
            "account_id": account_id,
            "endpoint_id": endpoint_id,
            "status": status,
            "event": event,
            "before": read_cursor(cursor) if cursor else None,
            "limit": limit + 1,
        }
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_PAGE, parameters)).mappings().all()
        data = tuple(DeliverySummary(**row) for row in rows[:limit])
        return DeliveryPage(data=data, next_cursor=write_cursor(data[-1].id) if len(rows) > limit else None)

    async def one(self, account_id: UUID, delivery_id: UUID) -> DeliveryView:
        """A delivery of an account with its tries. Raises NotFoundError."""
        async with self._engine.connect() as connection:
            return await self.within(connection, account_id, delivery_id)

    async def replay(self, account_id: UUID, delivery_id: UUID) -> DeliveryView:
        """Deliver once more what has ended, under the same `webhook-id`, with as many tries as at first.

        Raises:
            NotFoundError: The account has no such delivery.
            ConflictError: It is still pending, or the endpoint is disabled.
        """
        parameters = {"id": delivery_id, "account_id": account_id}
        async with transaction(self._engine) as connection:
            enabled = (await connection.execute(_OWNED, parameters)).scalar_one_or_none()
            if enabled is None:
                raise NotFoundError("There is no such delivery.")
            if not enabled:
                raise ConflictError("The endpoint is disabled; enable it first.", code="endpoint_disabled")
            if not (await connection.execute(_REPLAY, {"id": delivery_id})).rowcount:
                raise ConflictError("The delivery is still being tried.", code="delivery_pending")
            await connection.execute(_ENQUEUE, {"id": delivery_id})
            return await self.within(connection, account_id, delivery_id)

    async def within(self, connection: AsyncConnection, account_id: UUID, delivery_id: UUID) -> DeliveryView:
        """A delivery as the transaction of the connection sees it. Raises NotFoundError."""
        row = (await connection.execute(_ONE, {"id": delivery_id, "account_id": account_id})).mappings().one_or_none()
        if row is None:
            raise NotFoundError("There is no such delivery.")
        tries = (await connection.execute(_TRIES, {"id": delivery_id, "most": MOST_TRIES_SHOWN})).mappings().all()
        return _view(row, [TryView(**one) for one in reversed(tries)])


def _view(row: RowMapping, tries: list[TryView]) -> DeliveryView:
    columns: dict[str, Any] = dict(row)
    columns["body"] = msgspec.json.decode(columns["body"])
    return DeliveryView(**columns, attempts=tuple(tries))
