"""Detections: what was judged, the verdict, and the evidence behind it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from bonafide_client.schemas import Schema
from bonafide_client.schemas.evidence import Evidence

Modality = Literal["image", "video", "audio", "text"]
Verdict = Literal["REAL", "FAKE", "UNCERTAIN"]
Status = Literal["queued", "running", "succeeded", "failed"]
Rating = Literal["real", "fake", "unsure"]


class Reason(Schema, frozen=True):
    """A stable code and a sentence that explains something about the verdict."""

    code: str
    message: str


class Thresholds(Schema, frozen=True):
    """Decision bounds on p_fake, in [0, 1]: below `low` is REAL, from `high` on FAKE, between them UNCERTAIN."""

    low: float
    high: float


class Timings(Schema, frozen=True):
    """Wall-clock milliseconds of the steps of judging."""

    queue_ms: float
    decode_ms: float
    faces_ms: float
    inference_ms: float
    total_ms: float


class DetectionFailure(Schema, frozen=True):
    """Why a detection has no verdict. It was not charged."""

    code: str
    message: str


class Feedback(Schema, frozen=True):
    """What the account says that the medium really is."""

    label: Rating
    note: str | None
    at: datetime


class MemberScore(Schema, frozen=True):
    """What one model of an ensemble answered: `verdict` by its own thresholds, `weight` as it counted."""

    model: str
    version: int
    digest: str
    p_fake: float
    verdict: Verdict
    weight: float


class DetectionSummary(Schema, frozen=True):
    """A detection in a list. What only a verdict has is None while it runs and where it failed.

    `p_fake` is the calibrated probability in [0, 1] that the medium is synthetic, `confidence` a percentage. `sha256`
    is the digest of the medium. `key_id` is None for a call with an access token. `cached_from` names the earlier
    detection whose verdict this one repeats. `medium_id` is the medium where it is kept.
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


class Detection(DetectionSummary, frozen=True):
    """A detection with everything that reproduces its verdict; `digest` is that of the model's weights.

    `partial` is true where a part named in `unscored` has no score. `members` are what the models of an ensemble
    answered, empty where one model was asked; `digest` is then that of the ensemble.
    """

    reasons: tuple[Reason, ...] = ()
    partial: bool = False
    unscored: tuple[Reason, ...] = ()
    digest: str | None = None
    thresholds: Thresholds | None = None
    evidence: Evidence | None = None
    timings: Timings | None = None
    members: tuple[MemberScore, ...] = ()
