"""What accounts have in the object store: uploads on their way, media judged or kept, and proofs of deletion."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary, PrimaryKeyConstraint, Text, Uuid, text
from sqlmodel import Field, SQLModel

from gateway.db.tables.columns import FULL_PAGES_HALVED, ID, moment, owner, timestamp

_ZERO: dict[str, Any] = {"server_default": text("0")}


class Medium(SQLModel, table=True):
    """A medium in the object store, or one that is still to come.

    `reserved`: room is taken for a medium that is being judged; `open`: a signed URL was given out and the bytes are
    not verified; `ready`: they are what was announced, and lie where nobody outside can change them; `deleting`:
    unreachable for everybody, and its object goes, tried again at `expires_at`; `reason` is then that of its proof,
    null for none.
    `path` is where the bytes are sent, and the `file_path` of contract C; once ready they are under `object_path`.
    `size_bytes` is what was announced (0: nothing was) until it is what came; `digest` likewise a SHA-256.
    `part_bytes` is the size of all parts but the last, where it is sent in parts.
    `kept` media count against the account's allowance; others go once nothing needs them, at `expires_at`.
    """

    __tablename__ = "media"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        Index("media_path_key", "path", unique=True),
        Index("media_account_id_idx", "account_id", text("id DESC")),
        Index("media_largest_idx", "account_id", text("size_bytes DESC"), postgresql_where=text("kept")),
        Index("media_expires_at_idx", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
        Index("media_open_idx", "account_id", postgresql_where=text("state = 'open'")),
        Index("media_deleting_idx", "id", postgresql_where=text("state = 'deleting'")),
        CheckConstraint("state IN ('reserved', 'open', 'ready', 'deleting')", name="media_state_check"),
        CheckConstraint("size_bytes >= 0 AND part_bytes > 0", name="media_size_check"),
    )

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    account_id: UUID = Field(sa_column=owner())
    key_id: UUID | None = None
    state: str = Field(default="open", sa_type=Text, sa_column_kwargs={"server_default": "open"})
    path: str = Field(sa_type=Text)
    object_path: str | None = Field(default=None, sa_type=Text)
    filename: str = Field(sa_type=Text)
    media_type: str | None = Field(default=None, sa_type=Text)
    modality: str | None = Field(default=None, sa_type=Text)
    size_bytes: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_ZERO)
    part_bytes: int | None = Field(default=None, sa_type=BigInteger)
    digest: bytes | None = Field(default=None, sa_column=Column("digest", LargeBinary(32)))
    kept: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    completed_at: datetime | None = Field(default=None, sa_column=timestamp("completed_at"))
    expires_at: datetime | None = Field(default=None, sa_column=timestamp("expires_at"))
    reason: str | None = Field(default=None, sa_type=Text)


class StorageMeter(SQLModel, table=True):
    """How much an account has in the object store: kept, and on its way. A trigger on `media` keeps it."""

    __tablename__ = "storage_meters"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = FULL_PAGES_HALVED

    account_id: UUID = Field(sa_column=owner(primary_key=True))
    kept_bytes: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_ZERO)
    kept_count: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_ZERO)
    passing_bytes: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_ZERO)
    passing_count: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_ZERO)


class DeletionProof(SQLModel, table=True):
    """That a medium is gone: its digest, size and time stay, nothing of what it was.

    `reason` is who or what had it deleted: `owner`, `retention`, `unused`, `never_completed`, `account_deleted`.
    """

    __tablename__ = "deletion_proofs"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (PrimaryKeyConstraint("account_id", "medium_id"),)

    account_id: UUID = Field(sa_column=owner(primary_key=True))
    medium_id: UUID = Field(sa_column=Column("medium_id", Uuid, primary_key=True))
    digest: bytes | None = Field(default=None, sa_column=Column("digest", LargeBinary(32)))
    size_bytes: int = Field(sa_type=BigInteger)
    reason: str = Field(sa_type=Text)
    stored_at: datetime = Field(sa_column=moment("stored_at"))
    deleted_at: datetime | None = Field(default=None, sa_column=timestamp("deleted_at", required=True))
