"""The tables of the platform. They are what the migrations build, which a test holds; they never leave as answers.

Identifiers are version 7 UUIDs made by Postgres, so that they sort by creation.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

NOW = text("now()")
NEW_ID = text("uuidv7()")


def _timestamp(name: str, *, required: bool = False) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=not required, server_default=NOW if required else None)


class Account(SQLModel, table=True):
    """Who may use the platform, and how much. A limit that is null does not exist; no password means no login."""

    __tablename__ = "accounts"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        Index("accounts_email_key", text("lower(email)"), unique=True),
        CheckConstraint("status IN ('active', 'suspended')", name="accounts_status_check"),
        CheckConstraint("daily_limit >= 0", name="accounts_daily_limit_check"),
        CheckConstraint("burst_limit > 0 AND burst_period_s > 0", name="accounts_burst_check"),
    )

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs={"server_default": NEW_ID})
    email: str = Field(sa_type=Text)
    password_hash: str | None = Field(default=None, sa_type=Text)
    status: str = Field(default="active", sa_type=Text, sa_column_kwargs={"server_default": "active"})
    daily_limit: int | None = None
    burst_limit: int | None = None
    burst_period_s: int = Field(default=60, sa_column_kwargs={"server_default": "60"})
    created_at: datetime | None = Field(default=None, sa_column=_timestamp("created_at", required=True))


class ApiKey(SQLModel, table=True):
    """A key of an account, of which only the SHA-256 digest and the first characters are kept.

    An account has at most one living primary key, the one that contract A shows and regenerates.
    """

    __tablename__ = "api_keys"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        Index(
            "api_keys_primary_key",
            "account_id",
            unique=True,
            postgresql_where=text("is_primary AND revoked_at IS NULL"),
        ),
    )

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs={"server_default": NEW_ID})
    account_id: UUID = Field(foreign_key="accounts.id", index=True)
    digest: bytes = Field(sa_column=Column("digest", LargeBinary(32), nullable=False, unique=True))
    prefix: str = Field(sa_type=Text)
    is_primary: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    created_at: datetime | None = Field(default=None, sa_column=_timestamp("created_at", required=True))
    last_used_at: datetime | None = Field(default=None, sa_column=_timestamp("last_used_at"))
    revoked_at: datetime | None = Field(default=None, sa_column=_timestamp("revoked_at"))


class UsageDay(SQLModel, table=True):
    """How many detections of an account were charged on a UTC day. Half-full pages keep its updates in place."""

    __tablename__ = "usage_days"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    day: date = Field(primary_key=True)
    charged: int


class Burst(SQLModel, table=True):
    """State of an account's burst limit: the theoretical arrival time of the generic cell rate algorithm."""

    __tablename__ = "bursts"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    arrival_at: datetime = Field(sa_column=Column("arrival_at", DateTime(timezone=True), nullable=False))


class DetectionRow(SQLModel, table=True):
    """One detection: opened as `running` when it is admitted and charged, closed when it is settled or swept.

    `attempt` is the token of whoever may settle it. `answer` is the Bento's whole answer.
    """

    __tablename__ = "detections"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        Index("detections_account_id_id_idx", "account_id", text("id DESC")),
        Index("detections_running_idx", "deadline_at", postgresql_where=text("status = 'running'")),
        CheckConstraint("status IN ('running', 'succeeded', 'failed')", name="detections_status_check"),
    )

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs={"server_default": NEW_ID})
    account_id: UUID = Field(foreign_key="accounts.id")
    key_id: UUID | None = Field(
        default=None, sa_column=Column("key_id", ForeignKey("api_keys.id", ondelete="SET NULL"), nullable=True)
    )
    status: str = Field(sa_type=Text)
    attempt: UUID
    modality: str = Field(sa_type=Text)
    filename: str = Field(sa_type=Text)
    media_type: str = Field(sa_type=Text)
    size_bytes: int = Field(sa_type=BigInteger)
    request_id: str = Field(sa_type=Text)
    charged_on: date
    refunded: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    created_at: datetime | None = Field(default=None, sa_column=_timestamp("created_at", required=True))
    deadline_at: datetime = Field(sa_column=Column("deadline_at", DateTime(timezone=True), nullable=False))
    settled_at: datetime | None = Field(default=None, sa_column=_timestamp("settled_at"))
    verdict: str | None = Field(default=None, sa_type=Text)
    p_fake: float | None = None
    model: str | None = Field(default=None, sa_type=Text)
    version: int | None = None
    answer: dict[str, Any] | None = Field(default=None, sa_column=Column("answer", JSONB(none_as_null=True)))
    error_code: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)


METADATA = SQLModel.metadata
