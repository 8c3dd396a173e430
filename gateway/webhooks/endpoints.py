"""The webhook endpoints of accounts: made, listed, changed, rotated, tested, removed.

Where an address leads is looked up before a transaction begins, so that a slow name server holds no connection.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import RowMapping, case, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.audit.service import Act, Actor, record
from gateway.db.paging import read_cursor, write_cursor
from gateway.db.tables import Account, WebhookEndpoint, table_of
from gateway.db.transactions import transaction
from gateway.errors import ConflictError, NotFoundError
from gateway.outbound.client import Outbound
from gateway.settings import GatewaySettings
from gateway.webhooks.deliveries import DeliveryLog
from gateway.webhooks.outbox import tell
from gateway.webhooks.schemas import (
    EVENTS,
    TEST,
    DeliveryView,
    EndpointChange,
    EndpointPage,
    EndpointView,
    NewEndpoint,
    NewEndpointView,
)
from gateway.webhooks.secrets import Vault, as_text, make_secret

_ACCOUNTS: Final[Any] = table_of(Account)
ENDPOINTS: Final[Any] = table_of(WebhookEndpoint)
_FORMER_LIVES: Final = ENDPOINTS.c.former_expires_at > func.now()
_SHOWN: Final = (
    *(ENDPOINTS.c[name] for name in ("id", "url", "description", "events", "enabled", "disabled_reason")),
    ENDPOINTS.c.failing_since,
    case((_FORMER_LIVES, ENDPOINTS.c.former_expires_at), else_=None).label("former_secret_expires_at"),
    ENDPOINTS.c.created_at,
)
_ENABLED: Final[dict[str, Any]] = {
    "enabled": True,
    "disabled_reason": None,
    "failing_since": None,
    "failures": 0,
    "rests_until": None,
}
_DISABLED: Final[dict[str, Any]] = {"enabled": False, "disabled_reason": "owner"}


class Endpoints:
    """The endpoints of accounts; so many each as the settings say."""

    def __init__(self, engine: AsyncEngine, log: DeliveryLog, outbound: Outbound, settings: GatewaySettings) -> None:
        self._engine = engine
        self._log = log
        self._outbound = outbound
        self._https_only = not settings.webhooks_over_http
        self._most = settings.webhook_endpoints_per_account
        self._vault = Vault(settings.token_key.get_secret_value())

    async def check(self, url: str) -> None:
        """Refuse an address that would not be called; each try checks again. Raises UrlNotAllowedError."""
        await self._outbound.check(url, https_only=self._https_only)

    async def create(self, account_id: UUID, order: NewEndpoint, actor: Actor) -> NewEndpointView:
        """Make an endpoint at an address that was checked; its secret is in the answer and nowhere else.

        Raises:
            ConflictError: The account has as many as it may.
        """
        secret = make_secret()
        async with transaction(self._engine) as connection:
            owner = select(_ACCOUNTS.c.id).where(_ACCOUNTS.c.id == account_id).with_for_update(key_share=True)
            await connection.execute(owner)
            own = select(func.count()).select_from(ENDPOINTS).where(ENDPOINTS.c.account_id == account_id)
            if (await connection.scalar(own) or 0) >= self._most:
                raise ConflictError(
                    f"An account has at most {self._most} webhook endpoints; delete one first.",
                    code="too_many_endpoints",
                )
            endpoint_id = (await connection.execute(select(func.uuidv7()))).scalar_one()
            values = {
                "id": endpoint_id,
                "account_id": account_id,
                "url": order.url,
                "description": order.description,
                "events": list(EVENTS if order.events is msgspec.UNSET else dict.fromkeys(order.events)),
                "secret": self._vault.close(secret, endpoint_id),
            }
            row = (await connection.execute(insert(ENDPOINTS).values(values).returning(*_SHOWN))).mappings().one()
            await record(connection, Act(actor, "webhook.create", "webhook", str(endpoint_id), after=_told(row)))
        return _with_secret(row, secret)

    async def page(self, account_id: UUID, *, cursor: str | None, limit: int) -> EndpointPage:
        """Up to `limit` endpoints of an account, newest first, from a cursor on. Raises InvalidCursorError."""
        query = select(*_SHOWN).where(ENDPOINTS.c.account_id == account_id).order_by(ENDPOINTS.c.id.desc())
        if cursor:
            query = query.where(ENDPOINTS.c.id < read_cursor(cursor))
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query.limit(limit + 1))).mappings().all()
        data = tuple(_view(row) for row in rows[:limit])
        return EndpointPage(data=data, next_cursor=write_cursor(data[-1].id) if len(rows) > limit else None)

    async def one(self, account_id: UUID, endpoint_id: UUID) -> EndpointView:
        """An endpoint of an account. Raises NotFoundError."""
        async with self._engine.connect() as connection:
            return _view(await _find(connection, account_id, endpoint_id))

    async def change(self, account_id: UUID, endpoint_id: UUID, change: EndpointChange, actor: Actor) -> EndpointView:
        """Change an endpoint; enabled again, it begins anew.

        Raises:
            NotFoundError: The account has none with this id.
            UrlNotAllowedError: Its address would not be called.
        """
        if change.url is not msgspec.UNSET:
            await self.check(change.url)
        values = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not msgspec.UNSET}
        if "events" in values:
            values["events"] = list(dict.fromkeys(values["events"]))
        async with transaction(self._engine) as connection:
            before = await _find(connection, account_id, endpoint_id, lock=True)
            if "enabled" in values and values["enabled"] != before["enabled"]:
                values |= _ENABLED if values["enabled"] else _DISABLED
            if not values:
                return _view(before)
            query = update(ENDPOINTS).where(ENDPOINTS.c.id == endpoint_id).values(values).returning(*_SHOWN)
            after = (await connection.execute(query)).mappings().one()
            if _told(before) != _told(after):
                act = Act(actor, "webhook.change", "webhook", str(endpoint_id), _told(before), _told(after))
                await record(connection, act)
        return _view(after)

    async def rotate(self, account_id: UUID, endpoint_id: UUID, overlap_s: int, actor: Actor) -> NewEndpointView:
        """Give an endpoint a new secret; the former one signs beside it for `overlap_s` seconds, one before it no more.

        Raises:
            NotFoundError: The account has none with this id.
        """
        secret = make_secret()
        values: dict[str, Any] = {"secret": self._vault.close(secret, endpoint_id)}
        if overlap_s:
            values |= {"former_secret": ENDPOINTS.c.secret, "former_expires_at": _now() + timedelta(seconds=overlap_s)}
        else:
            values |= {"former_secret": None, "former_expires_at": None}
        async with transaction(self._engine) as connection:
            await _find(connection, account_id, endpoint_id, lock=True)
            query = update(ENDPOINTS).where(ENDPOINTS.c.id == endpoint_id).values(values).returning(*_SHOWN)
            row = (await connection.execute(query)).mappings().one()
            after = {"overlap_s": overlap_s}
            await record(connection, Act(actor, "webhook.rotate", "webhook", str(endpoint_id), after=after))
        return _with_secret(row, secret)

    async def test(self, account_id: UUID, endpoint_id: UUID) -> DeliveryView:
        """Tell an endpoint of nothing but that it is told.

        Raises:
            NotFoundError: The account has none with this id.
            ConflictError: It is disabled.
        """
        async with transaction(self._engine) as connection:
            row = await _find(connection, account_id, endpoint_id, lock=True)
            if not row["enabled"]:
                raise ConflictError("The endpoint is disabled; enable it first.", code="endpoint_disabled")
            data = {"endpoint_id": endpoint_id, "url": row["url"]}
            (delivery_id,) = await tell(
                connection,
                account_id=account_id,
                event=TEST,
                subject_id=uuid4(),
                body=msgspec.json.encode({"type": TEST, "timestamp": _now(), "data": data}),
                endpoint_id=endpoint_id,
            )
            return await self._log.within(connection, account_id, delivery_id)

    async def remove(self, account_id: UUID, endpoint_id: UUID, actor: Actor) -> None:
        """Remove an endpoint with what was to be delivered to it, and what is known of it. Raises NotFoundError."""
        async with transaction(self._engine) as connection:
            row = await _find(connection, account_id, endpoint_id, lock=True)
            await connection.execute(delete(ENDPOINTS).where(ENDPOINTS.c.id == endpoint_id))
            await record(connection, Act(actor, "webhook.delete", "webhook", str(endpoint_id), before=_told(row)))


async def _find(connection: AsyncConnection, account_id: UUID, endpoint_id: UUID, *, lock: bool = False) -> RowMapping:
    query = select(*_SHOWN).where((ENDPOINTS.c.account_id == account_id) & (ENDPOINTS.c.id == endpoint_id))
    if lock:
        query = query.with_for_update(key_share=True)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("There is no such webhook endpoint.")
    return row


def _view(row: RowMapping) -> EndpointView:
    columns: dict[str, Any] = dict(row)
    columns["events"] = tuple(columns["events"])
    return EndpointView(**columns)


def _with_secret(row: RowMapping, secret: bytes) -> NewEndpointView:
    return NewEndpointView(**msgspec.structs.asdict(_view(row)), secret=as_text(secret))


def _told(row: RowMapping) -> dict[str, Any]:
    """An endpoint as the audit log tells of it."""
    return {name: row[name] for name in ("url", "description", "events", "enabled", "disabled_reason")}


def _now() -> datetime:
    return datetime.now(UTC)
