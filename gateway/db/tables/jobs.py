"""Work that was handed over: jobs, what happened to them, their batches, and whether the queue stands still."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from gateway.db.tables.columns import ID, owner, texts, timestamp

_ZERO: dict[str, Any] = {"server_default": text("0")}
_CLASSES = "'interactive', 'api', 'batch'"
_STATES = "'queued', 'running', 'succeeded', 'failed', 'cancelled'"


class Batch(SQLModel, table=True):
    """Many media handed over at once.

    `expanding`: not all its items are jobs yet, or not all of its archive is unpacked; `running`: they are, and some
    have not ended; `finished`: all have, one way or the other; `failed`: the archive was at fault, there are no
    jobs; `cancelled`: its jobs are, with `ended_at` also the last of them. `next_place` is the first item that is no
    job yet, `ticket` the entry in the queue that goes on with it, and `failures` counts how often that broke off.
    """

    __tablename__ = "batches"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        Index("batches_account_id_idx", "account_id", text("id DESC")),
        Index("batches_archive_idx", "archive_id", postgresql_where=text("archive_id IS NOT NULL")),
        Index(
            "batches_unfinished_idx",
            "id",
            postgresql_where=text("status IN ('expanding', 'cancelled') AND ended_at IS NULL"),
        ),
        CheckConstraint(
            "status IN ('expanding', 'running', 'finished', 'failed', 'cancelled')", name="batches_status_check"
        ),
    )

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    account_id: UUID = Field(sa_column=owner())
    key_id: UUID | None = None
    status: str = Field(sa_type=Text)
    name: str | None = Field(default=None, sa_type=Text)
    total: int = Field(default=0, sa_column_kwargs=_ZERO)
    archive_id: UUID | None = Field(
        default=None, sa_column=Column("archive_id", Uuid, ForeignKey("media.id", ondelete="SET NULL"))
    )
    options: dict[str, Any] = Field(
        default={}, sa_column=Column("options", JSONB, nullable=False, server_default=text("'{}'"))
    )
    request_id: str = Field(sa_type=Text)
    next_place: int = Field(default=0, sa_column_kwargs=_ZERO)
    ticket: int | None = Field(default=None, sa_type=BigInteger)
    failures: int = Field(default=0, sa_column_kwargs=_ZERO)
    error_code: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    ended_at: datetime | None = Field(default=None, sa_column=timestamp("ended_at"))


class BatchItem(SQLModel, table=True):
    """What was handed over as one item of a batch; its job, once there is one, has the same place.

    `error_code`: it never became a job, and this is why; nothing was charged for it.
    """

    __tablename__ = "batch_items"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        Index("batch_items_medium_idx", "medium_id", postgresql_where=text("medium_id IS NOT NULL")),
        Index("batch_items_refused_idx", "batch_id", postgresql_where=text("error_code IS NOT NULL")),
    )

    batch_id: UUID = Field(sa_column=owner("batches.id", "batch_id", primary_key=True))
    place: int = Field(sa_column=Column("place", Integer, primary_key=True, autoincrement=False))
    filename: str = Field(sa_type=Text)
    medium_id: UUID | None = Field(
        default=None, sa_column=Column("medium_id", Uuid, ForeignKey("media.id", ondelete="SET NULL"))
    )
    source_url: str | None = Field(default=None, sa_type=Text)
    modality: str | None = Field(default=None, sa_type=Text)
    model: str | None = Field(default=None, sa_type=Text)
    client_reference: str | None = Field(default=None, sa_type=Text)
    tags: list[str] = Field(default=[], sa_column=texts("tags", required=True))
    error_code: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)


class Job(SQLModel, table=True):
    """One medium that is judged by a worker. Its detection was admitted and charged when the job was accepted.

    `attempt` is the token of the worker that has it, good until `lease_until` and renewed by its beats; without it
    nothing of what a worker found out is taken. `failures` are attempts that ended with an error, `losses` those whose
    worker did not come back. `dead`: it failed for good although another try might succeed, `error_code` tells why.
    `place_in_queue` orders what waits in a class, see the function `enqueue_jobs`; `ticket` is its entry in the queue.
    `place` is its number among the items of a batch, from 0. A job by URL has no medium until it was fetched.
    """

    __tablename__ = "jobs"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (
        Index("jobs_account_id_idx", "account_id", text("id DESC")),
        Index("jobs_detection_key", "detection_id", unique=True),
        Index("jobs_batch_idx", "batch_id", "place", unique=True, postgresql_where=text("batch_id IS NOT NULL")),
        Index(
            "jobs_batch_open_idx",
            "batch_id",
            postgresql_where=text("batch_id IS NOT NULL AND status IN ('queued', 'running')"),
        ),
        Index("jobs_medium_idx", "medium_id", postgresql_where=text("medium_id IS NOT NULL")),
        Index("jobs_waiting_idx", "class", "place_in_queue", "id", postgresql_where=text("status = 'queued'")),
        Index(
            "jobs_waiting_account_idx",
            "class",
            "account_id",
            "place_in_queue",
            postgresql_where=text("status = 'queued'"),
        ),
        Index("jobs_lease_idx", "lease_until", postgresql_where=text("status = 'running'")),
        Index("jobs_dead_idx", text("id DESC"), postgresql_where=text("dead")),
        Index("jobs_ended_at_idx", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="jobs_status_check"
        ),
        CheckConstraint(f"class IN ({_CLASSES})", name="jobs_class_check"),
    )

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    account_id: UUID = Field(sa_column=owner())
    key_id: UUID | None = None
    batch_id: UUID | None = Field(
        default=None, sa_column=Column("batch_id", Uuid, ForeignKey("batches.id", ondelete="CASCADE"))
    )
    place: int | None = None
    detection_id: UUID = Field(sa_column=owner("detections.id", "detection_id"))
    medium_id: UUID | None = Field(
        default=None, sa_column=Column("medium_id", Uuid, ForeignKey("media.id", ondelete="SET NULL"))
    )
    source_url: str | None = Field(default=None, sa_type=Text)
    model: str | None = Field(default=None, sa_type=Text)
    klass: str = Field(sa_column=Column("class", Text, nullable=False))
    place_in_queue: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_ZERO)
    ticket: int | None = Field(default=None, sa_type=BigInteger)
    status: str = Field(default="queued", sa_type=Text, sa_column_kwargs={"server_default": "queued"})
    attempt: UUID | None = None
    attempts: int = Field(default=0, sa_column_kwargs=_ZERO)
    failures: int = Field(default=0, sa_column_kwargs=_ZERO)
    losses: int = Field(default=0, sa_column_kwargs=_ZERO)
    dead: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    lease_until: datetime | None = Field(default=None, sa_column=timestamp("lease_until"))
    worker: str | None = Field(default=None, sa_type=Text)
    request_id: str = Field(sa_type=Text)
    progress: dict[str, Any] | None = Field(default=None, sa_column=Column("progress", JSONB(none_as_null=True)))
    error_code: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    run_at: datetime | None = Field(default=None, sa_column=timestamp("run_at", required=True))
    started_at: datetime | None = Field(default=None, sa_column=timestamp("started_at"))
    ended_at: datetime | None = Field(default=None, sa_column=timestamp("ended_at"))


class JobEvent(SQLModel, table=True):
    """Something that happened to a job, for those who follow it live; `place` counts from 1 in each job.

    `kind` is a status, `retrying`, or `progress`. Each new one is announced on the channel `job_events`.
    """

    __tablename__ = "job_events"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.

    job_id: UUID = Field(sa_column=owner("jobs.id", "job_id", primary_key=True))
    place: int = Field(sa_column=Column("place", Integer, primary_key=True, autoincrement=False))
    kind: str = Field(sa_type=Text)
    at: datetime | None = Field(default=None, sa_column=timestamp("at", required=True))
    data: dict[str, Any] = Field(
        default={}, sa_column=Column("data", JSONB, nullable=False, server_default=text("'{}'"))
    )


class QueuePause(SQLModel, table=True):
    """The one row that is there while an admin lets no job begin."""

    __tablename__ = "queue_pauses"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.

    queue: str = Field(sa_column=Column("queue", Text, primary_key=True))
    reason: str | None = Field(default=None, sa_type=Text)
    paused_at: datetime | None = Field(default=None, sa_column=timestamp("paused_at", required=True))
