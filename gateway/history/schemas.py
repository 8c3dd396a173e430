"""What is sent to change the history, and what `/v1/stats` answers."""

from datetime import date
from enum import StrEnum
from typing import Annotated

import msgspec

from bentos.contract import Modality
from gateway.detections.forms import REFERENCE_LENGTH, TAG_LENGTH, TAGS
from gateway.detections.schemas import Rating, Schema

NOTE_LENGTH = 2000


class DetectionUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays. A null `client_reference` removes it."""

    client_reference: Annotated[str, msgspec.Meta(max_length=REFERENCE_LENGTH)] | msgspec.UnsetType | None = (
        msgspec.UNSET
    )
    tags: (
        Annotated[tuple[Annotated[str, msgspec.Meta(max_length=TAG_LENGTH)], ...], msgspec.Meta(max_length=TAGS)]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class NewFeedback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the medium really is, as far as the account knows."""

    label: Rating
    note: Annotated[str, msgspec.Meta(max_length=NOTE_LENGTH)] | None = None


class Interval(StrEnum):
    """How long the periods of a series are; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    NONE = "none"


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
    """The counts of a period; `start` is its first day, though the days asked for may begin after it."""

    start: date


class StatsReport(Counts, frozen=True, rename={"since": "from", "until": "to"}):
    """The counts of the UTC days `from` to `to`, both included: in all, by modality, and period by period."""

    since: date
    until: date
    interval: Interval
    modalities: dict[Modality, Counts]
    series: tuple[Period, ...]


class StatsSummary(Schema, frozen=True):
    """The counts of an account's verdicts, ever; `fake_count` and `real_count` add up to `total_detections`."""

    total_detections: int
    fake_count: int
    real_count: int
    accuracy: float
    rated_count: int
