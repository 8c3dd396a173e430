"""Who did what to whom."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from gateway.db.tables.columns import ID, timestamp


class AuditEvent(SQLModel, table=True):
    """One act, written in the transaction of the act itself; a trigger refuses to change or remove it.

    The worker gives each event its place in the chain afterwards, so that writers do not queue behind each other:
    `chain_hash` is the SHA-256 of the previous event's hash and of this event.
    """

    __tablename__ = "audit_events"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        Index("audit_events_place_key", "place", unique=True),
        Index("audit_events_unchained_idx", "id", postgresql_where=text("place IS NULL")),
        Index("audit_events_target_idx", "target_id", text("id DESC")),
        Index("audit_events_actor_idx", "actor_id", text("id DESC")),
    )

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    at: datetime | None = Field(default=None, sa_column=timestamp("at", required=True))
    actor_id: UUID | None = None
    actor_kind: str = Field(sa_type=Text)
    key_id: UUID | None = None
    address: str | None = Field(default=None, sa_type=Text)
    request_id: str | None = Field(default=None, sa_type=Text)
    action: str = Field(sa_type=Text)
    target_kind: str = Field(sa_type=Text)
    target_id: str | None = Field(default=None, sa_type=Text)
    before: dict[str, Any] | None = Field(default=None, sa_column=Column("before", JSONB(none_as_null=True)))
    after: dict[str, Any] | None = Field(default=None, sa_column=Column("after", JSONB(none_as_null=True)))
    place: int | None = Field(default=None, sa_type=BigInteger)
    chain_hash: bytes | None = Field(default=None, sa_column=Column("chain_hash", LargeBinary(32)))
