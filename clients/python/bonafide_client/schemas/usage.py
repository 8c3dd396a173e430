"""What an account has used, and the counts of what was judged."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from bonafide_client.schemas import Schema
from bonafide_client.schemas.detections import Modality

Interval = Literal["day", "week", "month", "none"]
Grouping = Literal["day", "key", "modality"]


class DailyUsage(Schema, frozen=True):
    """Use of the current UTC day, in detections or bytes; `limit` and `remaining` are None without a limit."""

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
    """Detections that run now; `limit` and `remaining` are None without a limit."""

    limit: int | None
    running: int
    remaining: int | None


class KeyUsage(Schema, frozen=True):
    """What the calling key has of its own; each is None where it has no such limit."""

    day: DailyUsage | None
    bytes: DailyUsage | None
    burst: BurstUsage | None


class Usage(Schema, frozen=True):
    """What an account has used, and what is left. `burst` is None without a burst limit, `key` for a key without any.

    `total` counts all detections that were ever charged, `last_day` is the UTC day of the last one.
    """

    day: DailyUsage
    bytes: DailyUsage
    burst: BurstUsage | None
    concurrency: ConcurrencyUsage
    key: KeyUsage | None
    total: int
    last_day: date | None


class DayUsage(Schema, frozen=True):
    """What was used on a UTC day, by one key or in one modality where that was asked for.

    `charged` and `bytes` are what counted against the limits; they stay when a detection is deleted. `succeeded` and
    `failed` count what is in the history. `key_id` is None, too, for calls without a key.
    """

    day: date
    key_id: UUID | None
    modality: Modality | None
    charged: int
    bytes: int
    succeeded: int
    failed: int


class VerdictCounts(Schema, frozen=True, rename="upper"):
    """Detections by their three-way verdict."""

    real: int = 0
    fake: int = 0
    uncertain: int = 0


class Counts(Schema, frozen=True):
    """Detections that reached their end and are not in the bin.

    `real` and `fake` share out those that succeeded by p_fake, at 0.5. `rated_count` have feedback other than
    `unsure`, `agreed_count` feedback that says the same; `accuracy` is the percentage of these among those, 0 where
    there are none.
    """

    total: int
    succeeded: int
    failed: int
    real: int
    fake: int
    verdicts: VerdictCounts
    rated_count: int
    agreed_count: int
    accuracy: float


class Period(Counts, frozen=True):
    """The counts of a period; `start` is its first day."""

    start: date


class Stats(Counts, frozen=True, rename={"since": "from", "until": "to"}):
    """The counts of the UTC days `since` to `until`, both included: in all, by modality, and period by period."""

    since: date
    until: date
    interval: Interval
    modalities: dict[Modality, Counts]
    series: tuple[Period, ...]
