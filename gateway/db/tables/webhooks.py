"""Whom to tell when something ends, what they are told, and what came of each try."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from gateway.db.tables.columns import ID, owner, texts, timestamp

_ZERO: dict[str, Any] = {"server_default": text("0")}


class WebhookEndpoint(SQLModel, table=True):
    """An address of an account that is told of its events.

    Secrets are encrypted under the gateway's own. After a rotation the former one signs too, until it expires.
    `failing_since`: no try has succeeded since, `failures` have failed in a row; until `rests_until` nothing is sent.
    `disabled_reason`: `owner`, `failing`, or `gone`.
    """

    __tablename__ = "webhook_endpoints"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (Index("webhook_endpoints_account_idx", "account_id", text("id DESC")),)

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    account_id: UUID = Field(sa_column=owner())
    url: str = Field(sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    events: list[str] = Field(default=[], sa_column=texts("events", required=True))
    secret: bytes = Field(sa_column=Column("secret", LargeBinary, nullable=False))
    former_secret: bytes | None = Field(default=None, sa_column=Column("former_secret", LargeBinary))
    former_expires_at: datetime | None = Field(default=None, sa_column=timestamp("former_expires_at"))
    enabled: bool = Field(default=True, sa_column_kwargs={"server_default": text("true")})
    disabled_reason: str | None = Field(default=None, sa_type=Text)
    failing_since: datetime | None = Field(default=None, sa_column=timestamp("failing_since"))
    failures: int = Field(default=0, sa_column_kwargs=_ZERO)
    rests_until: datetime | None = Field(default=None, sa_column=timestamp("rests_until"))
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))


class WebhookMessage(SQLModel, table=True):
    """An event of an account as it is told; its id is the `webhook-id` of every try. A subject has each event once."""

    __tablename__ = "webhook_messages"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        UniqueConstraint("subject_id", "event"),
        Index("webhook_messages_account_idx", "account_id", text("id DESC")),
        Index("webhook_messages_created_at_idx", "created_at"),
    )

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    account_id: UUID = Field(sa_column=owner())
    event: str = Field(sa_type=Text)
    subject_id: UUID
    body: str = Field(sa_type=Text)
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))


class WebhookDelivery(SQLModel, table=True):
    """A message on its way to one endpoint. `failed`: it was given up; `skipped`: the endpoint was disabled.

    `tries_before` were made before it was last asked for again. While a try is under way, `next_try_at` is when it
    counts as lost. `ticket` is its entry in the queue.
    """

    __tablename__ = "webhook_deliveries"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        UniqueConstraint("endpoint_id", "message_id"),
        Index("webhook_deliveries_due_idx", "next_try_at", postgresql_where=text("status = 'pending'")),
        Index("webhook_deliveries_endpoint_idx", "endpoint_id", text("id DESC")),
        Index("webhook_deliveries_message_idx", "message_id"),
        CheckConstraint(
            "status IN ('pending', 'delivered', 'failed', 'skipped')", name="webhook_deliveries_status_check"
        ),
    )

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    endpoint_id: UUID = Field(sa_column=owner("webhook_endpoints.id", "endpoint_id"))
    message_id: UUID = Field(sa_column=owner("webhook_messages.id", "message_id"))
    status: str = Field(default="pending", sa_type=Text, sa_column_kwargs={"server_default": "pending"})
    tries: int = Field(default=0, sa_column_kwargs=_ZERO)
    tries_before: int = Field(default=0, sa_column_kwargs=_ZERO)
    next_try_at: datetime | None = Field(default=None, sa_column=timestamp("next_try_at"))
    ticket: int | None = Field(default=None, sa_type=BigInteger)
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    ended_at: datetime | None = Field(default=None, sa_column=timestamp("ended_at"))


class WebhookTry(SQLModel, table=True):
    """One try to deliver: what was sent and what was answered, both up to a size."""

    __tablename__ = "webhook_tries"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.

    delivery_id: UUID = Field(
        sa_column=Column("delivery_id", Uuid, ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True)
    )
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime | None = Field(default=None, sa_column=timestamp("at", required=True))
    duration_ms: float
    status: int | None = None
    error: str | None = Field(default=None, sa_type=Text)
    headers: dict[str, Any] = Field(
        default={}, sa_column=Column("headers", JSONB, nullable=False, server_default=text("'{}'"))
    )
    answer: str | None = Field(default=None, sa_type=Text)
