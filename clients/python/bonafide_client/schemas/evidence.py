"""What was measured in a medium, by modality."""

from bonafide_client.schemas import Schema


class Box(Schema, frozen=True):
    """A rectangle in pixels of the upright picture; x, y may be negative where a margin leaves the picture."""

    x: int
    y: int
    width: int
    height: int


class FaceScore(Schema, frozen=True):
    """A face found in an image, its detection confidence in [0, 1] and its score in [0, 1]."""

    box: Box
    confidence: float
    p_fake: float


class FrameScore(Schema, frozen=True):
    """Score of one sampled frame of a track; `time_s` is its presentation time in seconds."""

    time_s: float
    p_fake: float


class TrackScore(Schema, frozen=True):
    """One face followed over the sampled frames (or the picture's centre where no face was found) and its score."""

    track: int
    p_fake: float
    box: Box
    frames: tuple[FrameScore, ...]


class WindowScore(Schema, frozen=True):
    """Score of one stretch of audio, in seconds from the start of the clip."""

    start_s: float
    end_s: float
    p_fake: float


class ImageEvidence(Schema, frozen=True, tag_field="modality", tag="image"):
    """What was measured in an image; width and height in pixels after EXIF rotation."""

    width: int
    height: int
    format: str
    faces_found: int
    faces: tuple[FaceScore, ...]


class StretchScore(Schema, frozen=True):
    """Score of one stretch of a long video, in seconds from its start."""

    start_s: float
    end_s: float
    p_fake: float


class VideoEvidence(Schema, frozen=True, tag_field="modality", tag="video"):
    """What was measured in a video; `frames_sampled` frames were decoded and searched for faces.

    A long video is judged stretch by stretch: `stretches` lists all that count, and `tracks` the most suspicious track
    of each of the most suspicious stretches. For a short one `stretches` is empty.
    """

    width: int
    height: int
    duration_s: float
    codec: str
    frames_sampled: int
    faces_found: int
    tracks: tuple[TrackScore, ...]
    stretches: tuple[StretchScore, ...] = ()


class AudioEvidence(Schema, frozen=True, tag_field="modality", tag="audio"):
    """What was measured in an audio clip; rate and channels are those of the source."""

    duration_s: float
    sample_rate: int
    channels: int
    codec: str
    windows: tuple[WindowScore, ...]


class TokenScore(Schema, frozen=True):
    """Score of one token of a text: a word or a piece of one. `start` and `end` as in `PassageScore`."""

    start: int
    end: int
    p_fake: float


class PassageScore(Schema, frozen=True):
    """Score of one passage of a text, from character `start` up to and without `end`, as Python counts characters.

    `tokens` are there where the model scores them, and only in the most suspicious passages.
    """

    start: int
    end: int
    p_fake: float
    tokens: tuple[TokenScore, ...] = ()


class TextEvidence(Schema, frozen=True, tag_field="modality", tag="text"):
    """What was measured in a text: its characters and words, and how its bytes were encoded."""

    characters: int
    words: int
    encoding: str
    passages: tuple[PassageScore, ...]


Evidence = ImageEvidence | VideoEvidence | AudioEvidence | TextEvidence
