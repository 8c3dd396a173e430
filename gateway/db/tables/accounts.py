"""Who may use the platform, and under which plan."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Text, text
from sqlmodel import Field, SQLModel

from gateway.db.tables.columns import ID, number, owner, timestamp

DEFAULT_PLAN = "standard"


class Plan(SQLModel, table=True):
    """Limits that accounts share. A limit that is null does not exist."""

    __tablename__ = "plans"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        CheckConstraint("daily_limit >= 0 AND daily_bytes >= 0", name="plans_daily_check"),
        CheckConstraint("burst_limit > 0 AND burst_period_s > 0", name="plans_burst_check"),
        CheckConstraint("concurrent_limit > 0", name="plans_concurrent_check"),
        CheckConstraint("storage_bytes >= 0", name="plans_storage_check"),
    )

    name: str = Field(primary_key=True, sa_type=Text)
    title: str = Field(sa_type=Text)
    daily_limit: int | None = None
    daily_bytes: int | None = Field(default=None, sa_type=BigInteger)
    burst_limit: int | None = None
    burst_period_s: int = Field(default=60, sa_column_kwargs={"server_default": "60"})
    concurrent_limit: int | None = None
    storage_bytes: int | None = Field(default=None, sa_type=BigInteger)
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))


class Account(SQLModel, table=True):
    """A person or a program. A limit that is null is the plan's; no password means no login by password.

    `keeps_media`: what is judged is kept where a request does not say otherwise, for `retention_days` (null: forever).

    A deleted account keeps its row for those that refer to it, and frees its e-mail and username.
    """

    __tablename__ = "accounts"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        Index("accounts_email_key", text("lower(email)"), unique=True, postgresql_where=text("status <> 'deleted'")),
        Index(
            "accounts_username_key", text("lower(username)"), unique=True, postgresql_where=text("status <> 'deleted'")
        ),
        Index("accounts_number_key", "number", unique=True),
        CheckConstraint("status IN ('active', 'suspended', 'deleted')", name="accounts_status_check"),
        CheckConstraint("role IN ('user', 'super_admin')", name="accounts_role_check"),
        CheckConstraint("daily_limit >= 0 AND daily_bytes >= 0", name="accounts_daily_check"),
        CheckConstraint("burst_limit > 0 AND burst_period_s > 0", name="accounts_burst_check"),
        CheckConstraint("concurrent_limit > 0", name="accounts_concurrent_check"),
        CheckConstraint("storage_bytes >= 0 AND retention_days > 0", name="accounts_storage_check"),
    )

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    number: int | None = Field(default=None, sa_column=number())
    email: str | None = Field(default=None, sa_type=Text)
    email_verified_at: datetime | None = Field(default=None, sa_column=timestamp("email_verified_at"))
    username: str | None = Field(default=None, sa_type=Text)
    password_hash: str | None = Field(default=None, sa_type=Text)
    status: str = Field(default="active", sa_type=Text, sa_column_kwargs={"server_default": "active"})
    status_reason: str | None = Field(default=None, sa_type=Text)
    role: str = Field(default="user", sa_type=Text, sa_column_kwargs={"server_default": "user"})
    plan: str = Field(
        default=DEFAULT_PLAN, sa_type=Text, foreign_key="plans.name", sa_column_kwargs={"server_default": DEFAULT_PLAN}
    )
    daily_limit: int | None = None
    daily_bytes: int | None = Field(default=None, sa_type=BigInteger)
    burst_limit: int | None = None
    burst_period_s: int | None = None
    concurrent_limit: int | None = None
    storage_bytes: int | None = Field(default=None, sa_type=BigInteger)
    keeps_media: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    retention_days: int | None = None
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    deleted_at: datetime | None = Field(default=None, sa_column=timestamp("deleted_at"))


class Identity(SQLModel, table=True):
    """An account as an outside issuer knows it: keyed by issuer and subject, never by an e-mail."""

    __tablename__ = "identities"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.

    issuer: str = Field(sa_column=Column("issuer", Text, primary_key=True))
    subject: str = Field(sa_column=Column("subject", Text, primary_key=True))
    account_id: UUID = Field(sa_column=owner(index=True))
    email: str | None = Field(default=None, sa_type=Text)
    email_verified: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    last_used_at: datetime | None = Field(default=None, sa_column=timestamp("last_used_at"))
