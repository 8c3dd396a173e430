"""Jobs: media that were handed over."""

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from bonafide_client.schemas import Schema
from bonafide_client.schemas.detections import Detection, DetectionFailure, Modality, Verdict

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
JobPriority = Literal["interactive", "api", "batch"]
_ENDED: Final = frozenset(("succeeded", "failed", "cancelled"))


class JobProgress(Schema, frozen=True):
    """How far a job is: `done` of `total` frames or seconds; times in seconds, `remaining_s` is an estimate."""

    done: float
    total: float
    unit: Literal["frames", "seconds"]
    elapsed_s: float
    remaining_s: float | None = None


class JobEvent(Schema, frozen=True):
    """Something that happened to a job; `id` counts from 1 in each job.

    `event` is `queued`, `running`, `progress`, `retrying`, `succeeded`, `failed` or `cancelled`, and `data` what there
    is to say of it: always the `job_id` and when (`at`), how far the work is, the verdict, or the error.
    """

    id: int
    event: str
    data: dict[str, Any]

    @property
    def ended(self) -> bool:
        """Whether the job has ended with it."""
        return self.event in _ENDED


class JobSummary(Schema, frozen=True):
    """A job in a list.

    `attempts` counts how often a worker began it. `run_at` is when a job that failed is tried again. `dead`: it failed
    for good although another try might succeed. `upload_id` is None for a job by address, and once its medium is gone.
    """

    id: UUID
    status: JobStatus
    priority: JobPriority
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

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in _ENDED


class Job(JobSummary, frozen=True):
    """A job with its verdict where it has one.

    `position` is how many jobs are taken before it, None unless it is queued; beyond 10 000 it is not counted on.
    """

    position: int | None = None
    detection: Detection | None = None
