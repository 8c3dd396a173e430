"""What `/v1/detections` answers. Built from the Bento's answer and the stored row, never from a table class."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from bentos.contract import (
    AudioEvidence,
    Detection,
    ImageEvidence,
    Modality,
    Reason,
    Thresholds,
    Timings,
    Verdict,
    VideoEvidence,
)

Status = Literal["running", "succeeded", "failed"]


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the gateway's answers: immutable, built by keyword."""


class DetectionFailure(Schema, frozen=True):
    """Why a detection has no verdict. It was not charged."""

    code: str
    message: str


class DetectionSummary(Schema, frozen=True):
    """A detection in a list. What only a verdict has is null while it runs and where it failed."""

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


class DetectionView(DetectionSummary, frozen=True):
    """A detection with everything that reproduces its verdict; see `bentos.contract.Detection` for the ranges."""

    reasons: tuple[Reason, ...] = ()
    partial: bool = False
    unscored: tuple[Reason, ...] = ()
    digest: str | None = None
    thresholds: Thresholds | None = None
    evidence: ImageEvidence | VideoEvidence | AudioEvidence | None = None
    timings: Timings | None = None


class DetectionPage(Schema, frozen=True):
    """One page, newest first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[DetectionSummary, ...]
    next_cursor: str | None


def confidence_percent(p_fake: float) -> float:
    """100 * max(p_fake, 1 - p_fake) with two decimals."""
    return round(100 * max(p_fake, 1 - p_fake), 2)


def view_of_answer(
    answer: Detection,
    *,
    detection_id: UUID,
    filename: str,
    media_type: str,
    size_bytes: int,
    created_at: datetime,
    settled_at: datetime | None,
) -> DetectionView:
    """The view of a detection that has its verdict."""
    return DetectionView(
        id=detection_id,
        status="succeeded",
        modality=answer.modality,
        filename=filename,
        media_type=media_type,
        size_bytes=size_bytes,
        created_at=created_at,
        settled_at=settled_at,
        verdict=answer.verdict,
        p_fake=answer.p_fake,
        confidence=answer.confidence,
        model=answer.model,
        version=answer.version,
        error=None,
        reasons=answer.reasons,
        partial=answer.partial,
        unscored=answer.unscored,
        digest=answer.digest,
        thresholds=answer.thresholds,
        evidence=answer.evidence,
        timings=answer.timings,
    )
