"""API keys, and the meters that limits are read from."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, text
from sqlmodel import Field, SQLModel

from gateway.db.tables.columns import FULL_PAGES_HALVED, ID, digest, moment, texts, timestamp


class ApiKey(SQLModel, table=True):
    """A key of an account, of which only the SHA-256 digest and its first and last characters are kept.

    An account has at most one living primary key, the one that contract A shows and regenerates. What is null does not
    restrict: addresses (networks in CIDR notation), models, limits. A rotated key lives on until `expires_at`; its
    successor counts on the same meter, `meter_id` (null: one of its own, under the key's id).
    """

    __tablename__ = "api_keys"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        Index(
            "api_keys_primary_key",
            "account_id",
            unique=True,
            postgresql_where=text("is_primary AND revoked_at IS NULL"),
        ),
        CheckConstraint("daily_limit >= 0 AND daily_bytes >= 0", name="api_keys_daily_check"),
        CheckConstraint("burst_limit > 0 AND burst_period_s > 0", name="api_keys_burst_check"),
    )

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    account_id: UUID = Field(foreign_key="accounts.id", index=True)
    digest: bytes = Field(sa_column=digest(unique=True))
    prefix: str = Field(sa_type=Text)
    last4: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    name: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    scopes: list[str] = Field(default=[], sa_column=texts("scopes", required=True))
    allowed_addresses: list[str] | None = Field(default=None, sa_column=texts("allowed_addresses"))
    allowed_models: list[str] | None = Field(default=None, sa_column=texts("allowed_models"))
    daily_limit: int | None = None
    daily_bytes: int | None = Field(default=None, sa_type=BigInteger)
    burst_limit: int | None = None
    burst_period_s: int = Field(default=60, sa_column_kwargs={"server_default": "60"})
    is_primary: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    rotated_from: UUID | None = None
    meter_id: UUID | None = None
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    expires_at: datetime | None = Field(default=None, sa_column=timestamp("expires_at"))
    last_used_at: datetime | None = Field(default=None, sa_column=timestamp("last_used_at"))
    revoked_at: datetime | None = Field(default=None, sa_column=timestamp("revoked_at"))


class Meter(SQLModel, table=True):
    """What an account, or a key with limits of its own, has used: on `day` (UTC), ever, and of its burst.

    `arrival_at` is the theoretical arrival time of the generic cell rate algorithm.
    """

    __tablename__ = "meters"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (FULL_PAGES_HALVED,)

    subject_id: UUID = Field(primary_key=True)
    day: date
    charged: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    bytes: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    total: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    arrival_at: datetime = Field(sa_column=moment("arrival_at"))
