"""What `/v1/detections` answers. Built from the Bento's answer and the stored row, never from a table class."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from bentos.contract import (
    AudioEvidence,
    Detection,
    ImageEvidence,
    MemberScore,
    Modality,
    Reason,
    TextEvidence,
    Thresholds,
    Timings,
    Verdict,
    VideoEvidence,
)

Status = Literal["queued", "running", "succeeded", "failed"]
Rating = Literal["real", "fake", "unsure"]


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the gateway's answers: immutable, built by keyword."""


class DetectionFailure(Schema, frozen=True):
    """Why a detection has no verdict. It was not charged."""

    code: str
    message: str


class Feedback(Schema, frozen=True):
    """What the account says that the medium really is."""

    label: Rating
    note: str | None
    at: datetime


class DetectionSummary(Schema, frozen=True):
    """A detection in a list. What only a verdict has is null while it runs and where it failed.

    `sha256` is the digest of the medium. `key_id` is null for a call with an access token. `cached_from` names the
    earlier detection whose verdict this one repeats. `medium_id` is the medium where it is kept.
    """

    id: UUID
    status: Status
    modality: Modality
    filename: str
    media_type: str
    size_bytes: int
    created_at: datetime
    settled_at: datetime | None
    verdict: Verdict | None
    p_fake: float | None
    confidence: float | None
    model: str | None
    version: int | None
    error: DetectionFailure | None
    sha256: str | None
    client_reference: str | None
    tags: tuple[str, ...]
    key_id: UUID | None
    cached_from: UUID | None
    feedback: Feedback | None = None
    deleted_at: datetime | None = None
    medium_id: UUID | None = None


class DetectionView(DetectionSummary, frozen=True):
    """A detection with everything that reproduces its verdict; see `bentos.contract.Detection` for the ranges.

    `members` are what the models of an ensemble answered, empty where one model was asked.
    """

    reasons: tuple[Reason, ...] = ()
    partial: bool = False
    unscored: tuple[Reason, ...] = ()
    digest: str | None = None
    thresholds: Thresholds | None = None
    evidence: ImageEvidence | VideoEvidence | AudioEvidence | TextEvidence | None = None
    timings: Timings | None = None
    members: tuple[MemberScore, ...] = ()


class DetectionPage(Schema, frozen=True):
    """One page, newest first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[DetectionSummary, ...]
    next_cursor: str | None


def confidence_percent(p_fake: float) -> float:
    """100 * max(p_fake, 1 - p_fake) with two decimals."""
    return round(100 * max(p_fake, 1 - p_fake), 2)


def view_of_answer(answer: Detection, summary: DetectionSummary) -> DetectionView:
    """The view of a detection that has its verdict."""
    return DetectionView(
        **msgspec.structs.asdict(summary),
        reasons=answer.reasons,
        partial=answer.partial,
        unscored=answer.unscored,
        digest=answer.digest,
        thresholds=answer.thresholds,
        evidence=answer.evidence,
        timings=answer.timings,
        members=answer.members,
    )
