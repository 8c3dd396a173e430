"""Batches: many media that were handed over at once."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from bonafide_client.schemas import Schema
from bonafide_client.schemas.detections import DetectionFailure, DetectionSummary
from bonafide_client.schemas.jobs import JobStatus

BatchStatus = Literal["expanding", "running", "finished", "failed", "cancelled"]


class BatchSummary(Schema, frozen=True):
    """A batch in a list.

    `expanding`: its items are being made into jobs; `running`: they are; `finished`: all have ended, one way or the
    other; `failed`: its archive was at fault and nothing was judged; `cancelled`.
    """

    id: UUID
    name: str | None
    status: BatchStatus
    total: int
    error: DetectionFailure | None
    created_at: datetime
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.ended_at is not None


class ItemCounts(Schema, frozen=True):
    """How many items of a batch are in which status."""

    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


class VerdictCounts(Schema, frozen=True):
    """How many items of a batch got which verdict."""

    real: int
    fake: int
    uncertain: int


class Batch(BatchSummary, frozen=True):
    """A batch and how far it is: `progress` from 0 to 1, `remaining_s` an estimate, None where there is none."""

    counts: ItemCounts
    verdicts: VerdictCounts
    progress: float
    remaining_s: float | None


class BatchItem(Schema, frozen=True):
    """An item of a batch and what came of it; `place` is its number, from 0.

    Items without `job_id` that failed were never accepted, and nothing was charged for them. `detection` is there once
    it has its verdict. The files of an archive have their path within it as `client_reference`.
    """

    place: int
    status: JobStatus
    filename: str
    client_reference: str | None
    tags: tuple[str, ...]
    upload_id: UUID | None
    source_url: str | None
    job_id: UUID | None
    error: DetectionFailure | None
    detection: DetectionSummary | None
