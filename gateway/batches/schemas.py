"""What `/v1/batches` takes and answers."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from gateway.detections.schemas import DetectionFailure, DetectionSummary, Schema
from gateway.jobs.schemas import JobStatus, ModelName, Reference, Tag

BatchStatus = Literal["expanding", "running", "finished", "failed", "cancelled"]
BatchName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Address = Annotated[str, msgspec.Meta(max_length=2048)]
Tags = Annotated[tuple[Tag, ...], msgspec.Meta(max_length=16)]


class NewItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be judged: an upload that is complete, or an address where the platform fetches addresses.

    `modality` is needed for an address whose path does not end like a file of a known kind. `model` counts before that
    of the batch.
    """

    upload_id: UUID | None = None
    url: Address | None = None
    modality: Literal["image", "video", "audio", "text"] | None = None
    model: ModelName | None = None
    client_reference: Reference | None = None
    tags: Tags = ()


class NewBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to 10 000 items, or `archive`: an upload that is a zip archive, of which each file is an item.

    `model` is asked for where an item names none. `store` says whether the media are
    kept; null leaves uploads as they are and the files of an archive to the account's default.
    """

    name: BatchName | None = None
    model: ModelName | None = None
    store: bool | None = None
    items: tuple[NewItem, ...] | None = None
    archive: UUID | None = None


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


class BatchView(BatchSummary, frozen=True):
    """A batch and how far it is: `progress` from 0 to 1, `remaining_s` an estimate, null where there is none."""

    counts: ItemCounts
    verdicts: VerdictCounts
    progress: float
    remaining_s: float | None


class BatchPage(Schema, frozen=True):
    """One page, newest first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[BatchSummary, ...]
    next_cursor: str | None


class ItemView(Schema, frozen=True):
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


class ItemPage(Schema, frozen=True):
    """One page, in the order of the items. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[ItemView, ...]
    next_cursor: str | None


class ResultsFormat(StrEnum):
    """How results are written."""

    JSONL = "jsonl"
    CSV = "csv"
