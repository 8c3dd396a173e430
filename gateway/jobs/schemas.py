"""What `/v1/jobs` takes and answers."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from bentos.contract import Modality, Verdict
from gateway.detections.schemas import DetectionFailure, DetectionView, Schema

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
JobClass = Literal["interactive", "api", "batch"]
ENDED: frozenset[str] = frozenset(("succeeded", "failed", "cancelled"))

Reference = Annotated[str, msgspec.Meta(max_length=255)]
Tag = Annotated[str, msgspec.Meta(max_length=64)]
ModelName = Annotated[str, msgspec.Meta(max_length=128)]


class NewJob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be judged: an upload that is complete, or an address where the platform fetches addresses.

    `modality` is needed for an address whose path does not end like a file of a known kind.
    """

    upload_id: UUID | None = None
    url: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    modality: Literal["image", "video", "audio", "text"] | None = None
    model: ModelName | None = None
    client_reference: Reference | None = None
    tags: Annotated[tuple[Tag, ...], msgspec.Meta(max_length=16)] = ()
    store: bool | None = None


class JobProgress(Schema, frozen=True):
    """How far a job is: `done` of `total` frames or seconds; times in seconds, `remaining_s` is an estimate."""

    done: float
    total: float
    unit: Literal["frames", "seconds"]
    elapsed_s: float
    remaining_s: float | None = None


class JobSummary(Schema, frozen=True):
    """A job in a list.

    `priority` is its class in the queue. `attempts` counts how often a worker began it. `run_at` is when a job that
    failed is tried again. `dead`: it failed for good although another try might succeed; an admin may have it tried
    again. `upload_id` is null for a job by address, and once its medium is gone.
    """

    id: UUID
    status: JobStatus
    priority: JobClass
    detection_id: UUID
    batch_id: UUID | None
    upload_id: UUID | None
    source_url: str | None
    modality: Modality
    filename: str
    size_bytes: int
    client_reference: str | None
    tags: tuple[str, ...]
    verdict: Verdict | None
    p_fake: float | None
    attempts: int
    dead: bool
    error: DetectionFailure | None
    progress: JobProgress | None
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class JobView(JobSummary, frozen=True):
    """A job with its verdict where it has one.

    `position` is how many jobs are taken before it, null unless it is queued; beyond 10 000 it is not counted on.
    """

    position: int | None = None
    detection: DetectionView | None = None


class JobPage(Schema, frozen=True):
    """One page, newest first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[JobSummary, ...]
    next_cursor: str | None
