"""What an account has used, and the counts of what was judged."""

from datetime import date, datetime
from typing import Literal

from bonafide_client.schemas import Schema
from bonafide_client.schemas.detections import Modality

Interval = Literal["day", "week", "month", "none"]


class DailyUsage(Schema, frozen=True):
    """Use of the current UTC day; `limit` and `remaining` are None without a daily limit."""

    limit: int | None
    used: int
    remaining: int | None
    resets_at: datetime


class BurstUsage(Schema, frozen=True):
    """State of the burst limit: at most `limit` detections within `period_s` seconds."""

    limit: int
    period_s: int
    remaining: int


class Usage(Schema, frozen=True):
    """What an account has used today and ever, and what is left. `burst` is None without a burst limit."""

    day: DailyUsage
    burst: BurstUsage | None
    total: int
    last_day: date | None


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
