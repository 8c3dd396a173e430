"""What was judged, one row each, and counted by day."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from gateway.db.tables.columns import ID, number, texts, timestamp

_ZERO: dict[str, Any] = {"server_default": text("0")}
_COUNTS = [
    *("succeeded", "failed", "fake", "verdict_real", "verdict_fake", "verdict_uncertain", "rated", "agreed"),
    *("charged", "bytes"),
]


class DetectionRow(SQLModel, table=True):
    """One detection: opened as `running` when it is admitted and charged, closed when it is settled or swept.

    One of a job is opened as `queued`, and has no deadline: its job (`job_id`, no foreign key, for the job refers to it
    too) has a lease instead. `medium_id` is the medium that its owner keeps.

    `attempt` is the token of whoever may settle it. `answer` is the Bento's whole answer. `media_digest` is the
    SHA-256 of the medium. `channel` tells which kind of call it came by. `cached_from` names the detection whose
    verdict this one repeats. The key is not a foreign key: keys are never removed, and the check would be paid by
    every request.
    """

    __tablename__ = "detections"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        Index("detections_account_id_id_idx", "account_id", text("id DESC")),
        Index("detections_media_idx", "account_id", "media_digest", text("id DESC")),
        Index(
            "detections_reference_idx",
            "account_id",
            "client_reference",
            text("id DESC"),
            postgresql_where=text("client_reference IS NOT NULL"),
        ),
        Index("detections_bin_idx", "account_id", text("id DESC"), postgresql_where=text("deleted_at IS NOT NULL")),
        Index("detections_deleted_at_idx", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
        Index("detections_running_idx", "deadline_at", postgresql_where=text("status = 'running'")),
        Index("detections_running_account_idx", "account_id", postgresql_where=text("status = 'running'")),
        Index("detections_medium_idx", "medium_id", postgresql_where=text("medium_id IS NOT NULL")),
        CheckConstraint("status IN ('queued', 'running', 'succeeded', 'failed')", name="detections_status_check"),
        CheckConstraint("feedback IN ('real', 'fake', 'unsure')", name="detections_feedback_check"),
    )

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    number: int | None = Field(default=None, sa_column=number())
    account_id: UUID = Field(foreign_key="accounts.id")
    key_id: UUID | None = None
    status: str = Field(sa_type=Text)
    attempt: UUID
    modality: str = Field(sa_type=Text)
    filename: str = Field(sa_type=Text)
    media_type: str = Field(sa_type=Text)
    size_bytes: int = Field(sa_type=BigInteger)
    media_digest: bytes | None = Field(default=None, sa_column=Column("media_digest", LargeBinary(32)))
    request_id: str = Field(sa_type=Text)
    channel: str = Field(default="api", sa_type=Text, sa_column_kwargs={"server_default": "api"})
    client_reference: str | None = Field(default=None, sa_type=Text)
    tags: list[str] = Field(default=[], sa_column=texts("tags", required=True))
    cached_from: UUID | None = None
    job_id: UUID | None = None
    medium_id: UUID | None = Field(
        default=None, sa_column=Column("medium_id", Uuid, ForeignKey("media.id", ondelete="SET NULL"))
    )
    charged: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})
    charged_on: date
    refunded: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    deadline_at: datetime | None = Field(default=None, sa_column=timestamp("deadline_at"))
    settled_at: datetime | None = Field(default=None, sa_column=timestamp("settled_at"))
    deleted_at: datetime | None = Field(default=None, sa_column=timestamp("deleted_at"))
    verdict: str | None = Field(default=None, sa_type=Text)
    p_fake: float | None = None
    model: str | None = Field(default=None, sa_type=Text)
    version: int | None = None
    answer: dict[str, Any] | None = Field(default=None, sa_column=Column("answer", JSONB(none_as_null=True)))
    thumbnail: bytes | None = Field(default=None, sa_column=Column("thumbnail", LargeBinary))
    error_code: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)
    feedback: str | None = Field(default=None, sa_type=Text)
    feedback_note: str | None = Field(default=None, sa_type=Text)
    feedback_at: datetime | None = Field(default=None, sa_column=timestamp("feedback_at"))


class DetectionDay(SQLModel, table=True):
    """Detections of an account counted by UTC day (on which they were charged), modality and key.

    `fake` is the two-way decision at p_fake 0.5; `verdict_…` the three-way one. `key_id` is all zeros where there was
    no key. `rated` have feedback other than unsure, `agreed` feedback that is the two-way decision. Deleted detections
    are not counted, except in `charged` and `bytes`.

    The rows of an account lie far apart, since they come day by day. Its index holds the counts too, so that statistics
    read one stretch of it and nothing else; that needs the vacuum to pass by often.
    """

    __tablename__ = "detection_days"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        PrimaryKeyConstraint("account_id", "day", "modality", "key_id", postgresql_include=_COUNTS),
        {
            "postgresql_with": {
                "fillfactor": "50",
                "autovacuum_vacuum_scale_factor": "0.02",
                "autovacuum_vacuum_insert_scale_factor": "0.02",
            }
        },
    )

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    day: date = Field(primary_key=True)
    modality: str = Field(sa_column=Column("modality", Text, primary_key=True))
    key_id: UUID = Field(primary_key=True)
    succeeded: int = Field(default=0, sa_column_kwargs=_ZERO)
    failed: int = Field(default=0, sa_column_kwargs=_ZERO)
    fake: int = Field(default=0, sa_column_kwargs=_ZERO)
    verdict_real: int = Field(default=0, sa_column_kwargs=_ZERO)
    verdict_fake: int = Field(default=0, sa_column_kwargs=_ZERO)
    verdict_uncertain: int = Field(default=0, sa_column_kwargs=_ZERO)
    rated: int = Field(default=0, sa_column_kwargs=_ZERO)
    agreed: int = Field(default=0, sa_column_kwargs=_ZERO)
    charged: int = Field(default=0, sa_column_kwargs=_ZERO)
    bytes: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_ZERO)
