"""What `/v1/usage` answers."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from gateway.detections.schemas import Schema


class DailyUsage(Schema, frozen=True):
    """Detections of the current UTC day; `limit` and `remaining` are null where there is no such limit."""

    limit: int | None
    used: int
    remaining: int | None
    resets_at: datetime


class ByteUsage(Schema, frozen=True):
    """Bytes judged on the current UTC day; `limit` and `remaining` are null where there is no such limit."""

    limit: int | None
    used: int
    remaining: int | None
    resets_at: datetime


class BurstUsage(Schema, frozen=True):
    """State of a burst limit: at most `limit` detections within `period_s` seconds."""

    limit: int
    period_s: int
    remaining: int


class ConcurrencyUsage(Schema, frozen=True):
    """Detections that run now; `limit` and `remaining` are null where there is no such limit."""

    limit: int | None
    running: int
    remaining: int | None


class KeyUsage(Schema, frozen=True):
    """What the calling key has of its own; each is null where it has no such limit."""

    day: DailyUsage | None
    bytes: ByteUsage | None
    burst: BurstUsage | None


class UsageReport(Schema, frozen=True):
    """What an account has used. `burst` is null without a burst limit, `key` for a key without limits of its own.

    `total` counts all detections that were ever charged, `last_day` is the UTC day of the last one.
    """

    day: DailyUsage
    bytes: ByteUsage
    burst: BurstUsage | None
    concurrency: ConcurrencyUsage
    key: KeyUsage | None
    total: int
    last_day: date | None


class Grouping(StrEnum):
    """What the use of a day is told apart by, beside the day."""

    DAY = "day"
    KEY = "key"
    MODALITY = "modality"


class DayUsage(Schema, frozen=True):
    """What was used on a UTC day, by one key or in one modality where that was asked for.

    `charged` and `bytes` are what counted against the limits; they stay when a detection is deleted. `succeeded` and
    `failed` count what is in the history. `key_id` is null, too, for calls without a key.
    """

    day: date
    key_id: UUID | None
    modality: str | None
    charged: int
    bytes: int
    succeeded: int
    failed: int


class UsageDays(Schema, frozen=True):
    """One page of whole days, newest first, without those on which nothing was used.

    `from` and `to` are the days asked for, both included. `next_cursor` asks for the following page; null on the last.
    """

    first: date = msgspec.field(name="from")
    last: date = msgspec.field(name="to")
    group_by: Grouping
    data: tuple[DayUsage, ...]
    next_cursor: str | None
