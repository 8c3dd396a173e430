"""What `/v1/admin/jobs` and `/v1/admin/queue` take and answer."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from gateway.detections.schemas import Schema
from gateway.jobs.schemas import JobSummary

MOST_REQUEUED: Final = 500
_CODE: Final = r"^[a-z0-9_]{1,64}$"
_ONE_LINE: Final = r"^[^\x00-\x1f\x7f]*$"


class ManagedJob(JobSummary, frozen=True):
    """A job as an admin sees it.

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


class ManagedJobPage(Schema, frozen=True):
    """One page, newest first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[ManagedJob, ...]
    next_cursor: str | None


class ManagedJobEvent(Schema, frozen=True):
    """Something that happened to a job; `place` counts from 1."""

    place: int
    kind: Literal["queued", "running", "progress", "retrying", "succeeded", "failed", "cancelled"]
    at: datetime
    data: dict[str, Any]


class ManagedJobDetail(ManagedJob, frozen=True):
    """A job and what happened to it: the last 100 events, oldest first."""

    events: tuple[ManagedJobEvent, ...]


class Requeueing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead jobs to queue again, the newest first, and where to go on."""

    account_id: UUID | None = None
    error_code: Annotated[str, msgspec.Meta(pattern=_CODE, examples=["inference_unavailable"])] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_REQUEUED)] = 100
    cursor: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class NotRequeued(Schema, frozen=True):
    """A dead job that stays so, and the code of why."""

    job_id: UUID
    code: str


class Requeued(Schema, frozen=True):
    """How many dead jobs wait again, and which cannot. `next_cursor` goes on where this ended; null: that was all."""

    requeued: int
    refused: tuple[NotRequeued, ...]
    next_cursor: str | None


class Pause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the queue stands still: a line that admins read."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=_ONE_LINE)]
