"""What the decoding processes are asked for and hand back: crops or windows, and where they came from."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bentos.contract import Box, Reason

ResizeFilter = Literal[
    "nearest",
    "bilinear",
    "bicubic",
    "area",
    "lanczos",
    "pillow_nearest",
    "pillow_box",
    "pillow_bilinear",
    "pillow_hamming",
    "pillow_bicubic",
    "pillow_lanczos",
]
"""Filters of OpenCV, and those of Pillow, which most published models were trained with.

Pillow's take in all pixels when they make a picture smaller; OpenCV's "bilinear", "bicubic" and "lanczos" do not, so
the same name gives other pixels.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropShape:
    """Input of an image model or frame encoder: pixels of the crop, resize filter, and margin round a face.

    `margin` is the share of the face's longer side that is added on every side before the square is cut.
    """

    height: int
    width: int
    resize_filter: ResizeFilter
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCrop:
    """Where crop number `index` of the batch comes from; `confidence` is 0 for a centre crop, which is no face."""

    index: int
    box: Box
    confidence: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedImage:
    """A decoded picture: `crops` is uint8 RGB [N, H, W, 3] with N ≥ 1; width and height in pixels, upright."""

    crops: NDArray[np.uint8]
    faces: tuple[PreparedCrop, ...]
    faces_found: int
    width: int
    height: int
    format: str
    reasons: tuple[Reason, ...]
    decode_ms: float
    faces_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedVideo:
    """Sampled frames of a video: `crops` is uint8 RGB [M, H, W, 3], M ≥ 1; each track lists its crops in time order.

    `thumbnail` is the bytes of a JPEG of a middle frame, uint8 [N]; N is 0 where none was asked for.
    """

    crops: NDArray[np.uint8]
    thumbnail: NDArray[np.uint8]
    tracks: tuple[tuple[PreparedCrop, ...], ...]
    faces_found: int
    frames_sampled: int
    width: int
    height: int
    duration_s: float
    codec: str
    reasons: tuple[Reason, ...]
    unscored: tuple[Reason, ...]
    decode_ms: float
    faces_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedAudio:
    """Windows of a clip: `windows` is float32 [N, S] in [-1, 1], 16 kHz mono, N ≥ 1; `spans` in seconds."""

    windows: NDArray[np.float32]
    spans: tuple[tuple[float, float], ...]
    duration_s: float
    sample_rate: int
    channels: int
    codec: str
    reasons: tuple[Reason, ...]
    unscored: tuple[Reason, ...]
    decode_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoLength:
    """How long a video is; `first` is the time of its first frame in units of its stream."""

    first: int
    seconds: float
    unscored: tuple[Reason, ...]
    decode_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundLength:
    """How long a sound is, and what it is; `first_s` is the time in the file at which it begins."""

    first_s: float
    seconds: float
    sample_rate: int
    channels: int
    codec: str
    unscored: tuple[Reason, ...]
    decode_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPassage:
    """Windows of one passage of a sound, as those of a whole clip; N may be 0. `peak` is the loudest sample, in [0, 1].

    `packets` were read, and `damaged` of them could not be decoded.
    """

    windows: NDArray[np.float32]
    spans: tuple[tuple[float, float], ...]
    peak: float
    packets: int
    damaged: int
    decode_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedText:
    """A decoded text: `passages` of it, at least one, and their `spans` in characters, which are code points.

    `characters` and `words` count the whole text. `too_short`: there is too little of it for a verdict.
    """

    passages: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    characters: int
    words: int
    encoding: str
    too_short: bool
    reasons: tuple[Reason, ...]
    unscored: tuple[Reason, ...]
    decode_ms: float
