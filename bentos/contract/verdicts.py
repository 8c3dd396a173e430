"""What a Bento says of a medium: the verdict, what was measured, and which version of which model gave it."""

from enum import StrEnum
from typing import Final

import msgspec


class Modality(StrEnum):
    """Kind of medium a model judges."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"


LONG_MODALITIES: Final = frozenset({Modality.VIDEO, Modality.AUDIO})
"""Media that last: those of jobs have limits of their own. A picture or a text has the same everywhere."""


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
    """One face followed over the sampled frames (or the picture's centre where no face was found) and its score.

    `frames` is empty where the model judges the face as a whole and gives no scores of frames.
    """

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


class TokenScore(Wire, frozen=True):
    """Score of one token of a text: a word or a piece of one. `start` and `end` as in `PassageScore`."""

    start: int
    end: int
    p_fake: float


class PassageScore(Wire, frozen=True, omit_defaults=True):
    """Score of one passage of a text, from character `start` up to and without `end`, in code points of the text.

    `tokens` are there where the model scores them, and only in the most suspicious passages.
    """

    start: int
    end: int
    p_fake: float
    tokens: tuple[TokenScore, ...] = ()


class TextEvidence(Wire, frozen=True, tag_field="modality", tag="text"):
    """What was measured in a text: its characters (code points) and words, and how its bytes were encoded."""

    characters: int
    words: int
    encoding: str
    passages: tuple[PassageScore, ...]


Evidence = ImageEvidence | VideoEvidence | AudioEvidence | TextEvidence


class Timings(Wire, frozen=True):
    """Wall-clock milliseconds of the steps inside the Bento; `queue_ms` is the wait for a free decoding process."""

    queue_ms: float
    decode_ms: float
    faces_ms: float
    inference_ms: float
    total_ms: float


class MemberScore(Wire, frozen=True):
    """What one model of an ensemble answered: `verdict` by its own thresholds, `weight` as it counted."""

    model: str
    version: int
    digest: str
    p_fake: float
    verdict: Verdict
    weight: float


class Detection(Wire, frozen=True):
    """A verdict with everything needed to reproduce it.

    `p_fake` is the calibrated probability in [0, 1] that the medium is synthetic; `confidence` is
    100 * max(p_fake, 1 - p_fake) with two decimals. `partial` is true when a part named in `unscored` has no score.

    Of an ensemble, `model` is its name, `version` that of its declaration, `digest` a hash over the declaration and
    what answered, and `members` say what each model answered; `evidence` is then that of the first of them.
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
    members: tuple[MemberScore, ...] = ()
