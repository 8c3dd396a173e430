"""Everybody's jobs and their queue, as super_admins see them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from bonafide_client.schemas import Schema
from bonafide_client.schemas.jobs import JobPriority, JobSummary


class ManagedJob(JobSummary, frozen=True):
    """A job of any account.

    `failures` are attempts that ended with an error, `losses` those whose worker did not come back. `worker` has it
    until `lease_until`, or had it last. `key_id` is the key that it was handed over with, if any.
    """

    account_id: UUID
    key_id: UUID | None
    model: str | None
    request_id: str
    failures: int
    losses: int
    worker: str | None
    lease_until: datetime | None


class ManagedJobEvent(Schema, frozen=True):
    """Something that happened to a job; `place` counts from 1."""

    place: int
    kind: Literal["queued", "running", "progress", "retrying", "succeeded", "failed", "cancelled"]
    at: datetime
    data: dict[str, Any]


class ManagedJobDetail(ManagedJob, frozen=True):
    """A job and what happened to it: the last 100 events, oldest first."""

    events: tuple[ManagedJobEvent, ...]


class NotRequeued(Schema, frozen=True):
    """A dead job that stays so, and the code of why."""

    job_id: UUID
    code: str


class Requeued(Schema, frozen=True):
    """How many dead jobs wait again, and which cannot. `next_cursor` goes on where this ended; None: that was all."""

    requeued: int
    refused: tuple[NotRequeued, ...]
    next_cursor: str | None


class ClassLoad(Schema, frozen=True):
    """What waits in a class: how many, how many of them may run by now, and seconds since the oldest of those may."""

    priority: JobPriority
    queued: int
    due: int
    oldest_s: float


class QueueState(Schema, frozen=True):
    """The queue of jobs, as it stands; ages in seconds.

    `lapsed` are running jobs whose lease has passed and that nobody has taken back yet. `workers` have beaten lately.
    """

    classes: tuple[ClassLoad, ...]
    running: int
    lapsed: int
    dead: int
    workers: int
    paused: bool
    paused_at: datetime | None
    reason: str | None
