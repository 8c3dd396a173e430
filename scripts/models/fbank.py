"""Spectrogram features inside the graph: those of Kaldi, as AST takes them, and those of Whisper.

A frame's mean is subtracted, its high frequencies raised, a window laid over it and its Fourier transform taken: all of
that is linear, so it is one matrix, and sliding it over the sound is one convolution. Energies in mel bands are a
second matrix, and a logarithm follows. In float32 both stay within 1e-3 of the float64 originals in log-energy.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from scripts.models.graph_sounds import WAVEFORM, Front

RATE: Final = 16_000
FRAME: Final = 400
"""Samples of a frame, 25 ms."""
HOP: Final = 160
"""Samples from one frame to the next, 10 ms."""

_POINTS: Final = 512
_PREEMPHASIS: Final = 0.97
_LOWEST_HZ: Final = 20.0
_KALDI_FLOOR: Final = float(np.finfo(np.float32).eps)
_WHISPER_FLOOR: Final = 1e-10
_WHISPER_RANGE: Final = 8.0


@dataclass(frozen=True, kw_only=True)
class KaldiFeatures:
    """Log-energies of `bands` mel bands in `frames` frames, given to the model as (value - mean) / deviation.

    Where the sound ends before, the value is 0; what is over is cut off.
    """

    bands: int
    frames: int
    mean: float
    deviation: float

    @property
    def samples(self) -> int:
        """Samples of the sound of which all frames are made."""
        return FRAME + (self.frames - 1) * HOP


def take_kaldi(model: ModelProto, features: KaldiFeatures, *, source: str, samples: int) -> ModelProto:
    """Replace `source`, float32 [batch, frames, bands], by `waveform`, float32 [batch, samples].

    As Kaldi's compute-fbank-feats (src/feat/feature-fbank.cc) with its defaults but a Hanning window and no dithering,
    which is what transformers' ASTFeatureExtractor asks of torchaudio, or of numpy where that is not installed.

    Raises:
        GraphError: The graph has no input `source`, or is of an opset before 18.
    """
    front = Front()
    length = front.length(samples)
    energy = _energies(front, WAVEFORM, _kaldi_transform(), _kaldi_bands(features.bands))
    floored = front.add("Max", [energy, front.number("floor", _KALDI_FLOOR)], "floored")
    logs = front.add("Transpose", [front.add("Log", [floored], "log")], "frames", perm=[0, 2, 1])
    made = 1 + (samples - FRAME) // HOP
    # A frame counts where the whole of it is sound; beyond, the original has rows of zeros.
    ends = front.constant("frame_ends", (np.arange(made, dtype=np.float32) * HOP + FRAME - 1)[None, :, None])
    column = front.add("Unsqueeze", [length, front.constant("last_axis", np.asarray([-1], np.int64))], "length_column")
    whole = front.add("Less", [ends, column], "is_whole")
    front.add("Where", [whole, logs, front.number("zero", 0)], "sound_frames")
    if made > features.frames:
        bounds = [np.asarray([value], np.int64) for value in (0, features.frames, 1)]
        names = [front.constant(f"cut_{index}", value) for index, value in enumerate(bounds)]
        front.add("Slice", [front.last, *names], "cut")
    elif made < features.frames:
        pads = np.asarray([0, 0, 0, 0, features.frames - made, 0], np.int64)
        front.add("Pad", [front.last, front.constant("pads", pads)], "padded")
    moved = front.add("Sub", [front.last, front.number("feature_mean", features.mean)], "moved")
    front.add("Div", [moved, front.number("feature_deviation", features.deviation)], "features")
    return front.put_before(model, source=source, samples=samples)


def take_whisper(model: ModelProto, bands: NDArray[np.floating], *, source: str, samples: int) -> ModelProto:
    """Replace `source`, float32 [batch, bands, frames], by `waveform`, float32 [batch, samples].

    As in Radford et al., 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.2, and in
    transformers' WhisperFeatureExtractor, whose `mel_filters`, float [201, bands], are given; `samples` is its whole
    chunk, which it fills with zeros as a Bento does.

    Raises:
        GraphError: The graph has no input `source`, or is of an opset before 18.
    """
    front = Front()
    sides = front.constant("sides", np.asarray([0, FRAME // 2, 0, FRAME // 2], np.int64))
    mirrored = front.add("Pad", [WAVEFORM, sides], "mirrored", mode="reflect")
    window = np.hanning(FRAME + 1)[:-1]
    all_frames = _energies(front, mirrored, _fourier(FRAME, FRAME) * window, bands.astype(np.float64))
    count = samples // HOP
    names = [front.constant(f"cut_{index}", np.asarray([value], np.int64)) for index, value in enumerate((0, count, 2))]
    energy = front.add("Slice", [all_frames, *names], "frames")
    floored = front.add("Max", [energy, front.number("floor", _WHISPER_FLOOR)], "floored")
    logs = front.add("Mul", [front.add("Log", [floored], "log"), front.number("decimal", 1 / np.log(10))], "log10")
    axes = front.constant("feature_axes", np.asarray([1, 2], np.int64))
    loudest = front.add("ReduceMax", [logs, axes], "loudest", keepdims=1)
    quietest = front.add("Sub", [loudest, front.number("range", _WHISPER_RANGE)], "quietest")
    heard = front.add("Max", [logs, quietest], "heard")
    four = front.number("four", 4)
    front.add("Div", [front.add("Add", [heard, four], "moved"), four], "features")
    return front.put_before(model, source=source, samples=samples)


def _energies(front: Front, sound: str, transform: NDArray[np.complex128], bands: NDArray[np.float64]) -> str:
    """Add what gives the energy in each band and frame, float32 [batch, bands, frames], of a sound [batch, samples].

    `transform` [bins, FRAME] gives a frame's spectrum, `bands` [bins, bands] are the weights of its bins' powers.
    """
    parts = np.concatenate([transform.real, transform.imag])[:, None, :].astype(np.float32)
    weights = np.concatenate([bands, bands]).T.astype(np.float32)
    channel = front.add("Unsqueeze", [sound, front.constant("channel_axis", np.asarray([1], np.int64))], "channel")
    spectrum = front.add("Conv", [channel, front.constant("transform", parts)], "spectrum", strides=[HOP])
    power = front.add("Mul", [spectrum, spectrum], "power")
    return front.add("MatMul", [front.constant("bands", weights), power], "energies")


def _kaldi_transform() -> NDArray[np.complex128]:
    """The matrix [257, 400] from a frame's samples to its spectrum."""
    centring = np.eye(FRAME) - 1 / FRAME
    raising = np.eye(FRAME) - _PREEMPHASIS * np.eye(FRAME, k=-1)
    # The sample before the first is taken to be as the first.
    raising[0, 0] -= _PREEMPHASIS
    return (_fourier(_POINTS, FRAME) * np.hanning(FRAME)) @ raising @ centring


def _fourier(points: int, samples: int) -> NDArray[np.complex128]:
    """The discrete Fourier transform of `samples` samples that zeros fill up to `points`: [points / 2 + 1, samples]."""
    return np.exp(-2j * np.pi * np.outer(np.arange(points // 2 + 1), np.arange(samples)) / points)


def _kaldi_bands(count: int) -> NDArray[np.float64]:
    """Triangles [257, count] that overlap by half, evenly spaced in mel from 20 Hz to half the rate."""
    lowest, highest = (_mel(np.asarray(frequency)) for frequency in (_LOWEST_HZ, RATE / 2))
    corners = np.linspace(lowest, highest, count + 2)
    bins = _mel(np.arange(_POINTS // 2 + 1) * RATE / _POINTS)[:, None]
    rising = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def _mel(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pitch of a frequency in Hz, as Kaldi has it."""
    return 1127 * np.log1p(frequency / 700)
