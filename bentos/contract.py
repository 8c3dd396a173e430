"""The wire contract between a Bento and its callers, and the only module of `bentos` that the gateway imports.

A caller posts the raw bytes of one medium to `POST /detect` (options travel in headers) and gets a `Detection` or an
`ErrorBody` as JSON. Media too large for a request body stay in the spool folder and are named by a signed reference,
which only a holder of the reference key, the gateway, can mint.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

import jwt
import msgspec

DETECT_PATH: Final = "/detect"
MODELS_PATH: Final = "/models"
READY_PATH: Final = "/readyz"

HEADER_MODEL: Final = "x-bonafide-model"
"""Name of the model to ask; absent: the default of the modality."""
HEADER_REFERENCE: Final = "x-bonafide-reference"
"""A signed reference in place of a body."""
HEADER_DEADLINE_MS: Final = "x-bonafide-deadline-ms"
"""Milliseconds that the caller still waits; the Bento gives up no later."""
HEADER_THUMBNAIL: Final = "x-bonafide-thumbnail"
"""In a call, `1` asks for a small picture of a video; in the answer, how many bytes at the end of the body are that
picture, a JPEG. They follow the JSON of the `Detection`, which so can be kept as it came. Absent: there is none."""
HEADER_PROGRESS: Final = "x-bonafide-progress"
"""In a call, `1` asks to be told how far it is: a call that lasts is then answered with lines, see `Line`."""
HEADER_REQUEST_ID: Final = "x-request-id"

LINES: Final = "application/x-ndjson"
"""Type of an answer in lines. What was decided before there was anything to tell is answered as without the header."""
HEARTBEAT_S: Final = 5.0
"""Seconds after which a line comes at the latest, also where there is nothing new to tell."""

THUMBNAIL_SIDE: Final = 320
"""Longer side of a thumbnail in pixels, at most."""
THUMBNAIL_BYTES: Final = 20_000
"""Bytes of a thumbnail, at most."""

_REFERENCE_ALGORITHM: Final = "HS256"
_REFERENCE_AUDIENCE: Final = "bonafide-media"


class Modality(StrEnum):
    """Kind of medium a model judges."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"


class Verdict(StrEnum):
    """Three-way decision from the calibrated score and the card's two thresholds."""

    REAL = "REAL"
    FAKE = "FAKE"
    UNCERTAIN = "UNCERTAIN"


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the wire types: immutable, built by keyword."""


class Reason(Wire, frozen=True):
    """A stable code and a sentence that explains something about the verdict."""

    code: str
    message: str


class Thresholds(Wire, frozen=True):
    """Decision bounds on p_fake, in [0, 1]: below `low` is REAL, from `high` on FAKE, between them UNCERTAIN."""

    low: float
    high: float


class Box(Wire, frozen=True):
    """A rectangle in pixels of the upright picture; x, y may be negative where a margin leaves the picture."""

    x: int
    y: int
    width: int
    height: int


class FaceScore(Wire, frozen=True):
    """A face found in an image, its detection confidence in [0, 1] and its score."""

    box: Box
    confidence: float
    p_fake: float


class FrameScore(Wire, frozen=True):
    """Score of one sampled frame of a track; `time_s` is its presentation time in seconds."""

    time_s: float
    p_fake: float


class TrackScore(Wire, frozen=True):
    """One face followed over the sampled frames (or the picture's centre where no face was found) and its score."""

    track: int
    p_fake: float
    box: Box
    frames: tuple[FrameScore, ...]


class WindowScore(Wire, frozen=True):
    """Score of one stretch of audio, in seconds from the start of the clip."""

    start_s: float
    end_s: float
    p_fake: float


class ImageEvidence(Wire, frozen=True, tag_field="modality", tag="image"):
    """What was measured in an image; width and height in pixels after EXIF rotation."""

    width: int
    height: int
    format: str
    faces_found: int
    faces: tuple[FaceScore, ...]


class StretchScore(Wire, frozen=True, omit_defaults=True):
    """Score of one stretch of a video, or of one window of a sound, in seconds from the start.

    `frames` are those of the stretch's most suspicious track; left out where they are listed elsewhere.
    """

    start_s: float
    end_s: float
    p_fake: float
    frames: tuple[FrameScore, ...] = ()


class VideoEvidence(Wire, frozen=True, tag_field="modality", tag="video", omit_defaults=True):
    """What was measured in a video; `frames_sampled` frames were decoded and searched for faces.

    A video that was judged stretch by stretch lists all of them in `stretches`, and in `tracks` the most suspicious
    track of each of the most suspicious stretches.
    """

    width: int
    height: int
    duration_s: float
    codec: str
    frames_sampled: int
    faces_found: int
    tracks: tuple[TrackScore, ...]
    stretches: tuple[StretchScore, ...] = ()


class AudioEvidence(Wire, frozen=True, tag_field="modality", tag="audio"):
    """What was measured in an audio clip; rate and channels are those of the source."""

    duration_s: float
    sample_rate: int
    channels: int
    codec: str
    windows: tuple[WindowScore, ...]


Evidence = ImageEvidence | VideoEvidence | AudioEvidence


class Timings(Wire, frozen=True):
    """Wall-clock milliseconds of the steps inside the Bento; `queue_ms` is the wait for a free decoding process."""

    queue_ms: float
    decode_ms: float
    faces_ms: float
    inference_ms: float
    total_ms: float


class Detection(Wire, frozen=True):
    """A verdict with everything needed to reproduce it.

    `p_fake` is the calibrated probability in [0, 1] that the medium is synthetic; `confidence` is
    100 * max(p_fake, 1 - p_fake) with two decimals. `partial` is true when a part named in `unscored` has no score.
    """

    modality: Modality
    verdict: Verdict
    p_fake: float
    confidence: float
    reasons: tuple[Reason, ...]
    partial: bool
    unscored: tuple[Reason, ...]
    model: str
    version: int
    digest: str
    thresholds: Thresholds
    evidence: Evidence
    timings: Timings


class VersionInfo(Wire, frozen=True):
    """What the card of one served version says, for listings."""

    version: int
    digest: str
    thresholds: Thresholds
    metrics: dict[str, float | int | str]
    demo: bool


class ModelInfo(Wire, frozen=True):
    """A model that a Bento serves; `default` marks the one asked where the caller names none."""

    name: str
    title: str
    description: str
    modality: Modality
    default: bool
    stable: VersionInfo


class ModelList(Wire, frozen=True):
    """Answer of `GET /models`."""

    models: tuple[ModelInfo, ...]


class ErrorBody(Wire, frozen=True):
    """Answer of a Bento that could not give a verdict: a stable code and a sentence for the person who sent it."""

    code: str
    message: str


ProgressUnit = Literal["frames", "seconds"]


class Progress(Wire, frozen=True):
    """How far a call is: `done` of `total` frames of a video or seconds of a sound; `total` is 0 while it is not known.

    `elapsed_s` counts from the start of the call; `remaining_s` is an estimate, null while there is nothing to judge it
    by. `scores` are those of what was judged since the line before.
    """

    done: float
    total: float
    unit: ProgressUnit
    elapsed_s: float
    remaining_s: float | None
    scores: tuple[StretchScore, ...]


class ProgressLine(Wire, frozen=True, tag_field="line", tag="progress"):
    """How far the call is; at most two a second, and one every `HEARTBEAT_S` seconds at least."""

    progress: Progress


class VerdictLine(Wire, frozen=True, tag_field="line", tag="verdict"):
    """The last line of a call that succeeded: the JSON of its `Detection`, and the JPEG that was asked for."""

    detection: msgspec.Raw
    thumbnail: bytes | None


class FailureLine(Wire, frozen=True, tag_field="line", tag="failure"):
    """The last line of a call that failed: what the answer would have been if it had not begun already."""

    status: int
    error: ErrorBody
    retry_after_s: int | None


Line = ProgressLine | VerdictLine | FailureLine
"""One line of an answer of the type `LINES`; the last one, and only that, is a verdict or a failure."""


class Reference(Wire, frozen=True):
    """A medium in the spool folder: its file name there and its exact size in bytes.

    `long` gives it the limits of jobs: many gigabytes and hours, judged stretch by stretch.
    """

    name: str
    size: int
    long: bool = False


class InvalidReferenceError(Exception):
    """The reference is malformed, expired, or was not minted with this key."""


def mint_reference(reference: Reference, *, key: str, lifetime: timedelta) -> str:
    """Sign a reference so that a Bento accepts it until `lifetime` has passed."""
    claims = {
        "name": reference.name,
        "size": reference.size,
        "long": reference.long,
        "aud": _REFERENCE_AUDIENCE,
        "exp": datetime.now(UTC) + lifetime,
    }
    return jwt.encode(claims, key, algorithm=_REFERENCE_ALGORITHM)


def read_reference(token: str, *, key: str) -> Reference:
    """Verify a signed reference and return it.

    Raises:
        InvalidReferenceError: The signature, audience, expiry or shape is wrong.
    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[_REFERENCE_ALGORITHM],
            audience=_REFERENCE_AUDIENCE,
            options={"require": ["exp", "aud"]},
        )
        return msgspec.convert(claims, Reference)
    except (jwt.InvalidTokenError, msgspec.ValidationError) as error:
        raise InvalidReferenceError(str(error)) from error
