"""What was already answered under an idempotency key."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, Index, LargeBinary, Text, Uuid, text
from sqlmodel import Field, SQLModel

from gateway.db.tables.columns import digest, moment, owner, timestamp


class IdempotencyKey(SQLModel, table=True):
    """A key that a client chose for one call, and what came of it.

    `fingerprint` is the SHA-256 of the call. A detection's answer is read from its row, `detection_id`; any other
    answer is kept in `response`, encrypted under the key itself. Without either the call is still in progress.
    """

    __tablename__ = "idempotency_keys"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        Index("idempotency_keys_expires_at_idx", "expires_at"),
        Index("idempotency_keys_detection_idx", "detection_id", postgresql_where=text("detection_id IS NOT NULL")),
    )

    account_id: UUID = Field(sa_column=owner(primary_key=True))
    key: str = Field(sa_column=Column("key", Text, primary_key=True))
    fingerprint: bytes = Field(sa_column=digest("fingerprint"))
    detection_id: UUID | None = Field(default=None, sa_column=Column("detection_id", Uuid))
    status: int | None = None
    response: bytes | None = Field(default=None, sa_column=Column("response", LargeBinary))
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    expires_at: datetime = Field(sa_column=moment("expires_at"))
