"""What a caller may choose of each decoding task, and the bounds that keep one medium from costing too much.

These values travel to the decoding processes; nothing here loads a decoder.
"""

from dataclasses import dataclass, field

from bentos.media.prepared import CropShape


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSearch:
    """How faces are looked for. Sizes are in pixels of the copy that is searched, thresholds in [0, 1].

    `thresholds` are those of P-Net, R-Net and O-Net. `most_proposals` and `most_candidates` bound the work that one
    picture can cause in R-Net and O-Net.
    """

    longer_side: int = 640
    smallest_face: int = 40
    scale_factor: float = 0.709
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.8)
    most_proposals: int = 256
    most_candidates: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """What to make of a picture: crops of `shape`, of at most `most_faces` faces, the largest."""

    shape: CropShape
    max_pixels: int = 50_000_000
    most_faces: int = 8
    search: FaceSearch = field(default_factory=FaceSearch)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoOptions:
    """What to make of a video: crops of `shape` from `frames` frames evenly in time, of at most `most_tracks` faces.

    A video with less than `fewest_frames` is called too short. `thumbnail` asks for a small picture of its middle.
    """

    shape: CropShape
    frames: int = 16
    fewest_frames: int = 1
    thumbnail: bool = False
    max_seconds: float = 600.0
    max_pixels: int = 3840 * 2160
    most_tracks: int = 4
    search: FaceSearch = field(default_factory=FaceSearch)


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchOptions:
    """Which stretch of a video to look at, in seconds from its first frame; `first` is its time in units of the stream.

    `video` says what to make of it, and bounds the whole video.
    """

    video: VideoOptions
    first: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioOptions:
    """What to make of a sound: windows of `samples` at 16 kHz, each `hop` samples after the one before."""

    samples: int
    hop: int
    max_seconds: float = 1800.0
    most_windows: int = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """What to make of a text: passages of at most `characters` characters, and at most `most_passages` of them."""

    characters: int
    most_passages: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageOptions:
    """Which windows to cut out of one passage of a sound.

    `starts` are ascending, in samples at 16 kHz from the beginning of the sound, whose time is `first_s` in the file.
    """

    audio: AudioOptions
    first_s: float
    starts: tuple[int, ...]
