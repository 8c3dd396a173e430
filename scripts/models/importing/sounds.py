"""Sounds on which an imported model is held to its original: voices made here, or a folder of somebody's recordings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.errors import DetectionError
from bentos.media.audio import prepare_audio
from bentos.media.options import AudioOptions
from scripts.demo.sounds import through_channel
from scripts.demo.speech import draw_voice, speak
from scripts.demo.vocoders import copy_synthesis
from scripts.models.errors import RefusedError
from scripts.models.graph_sounds import SHORTEST

VOICES: Final = 6
MOST: Final = 64
"""Windows of a folder of recordings that are looked at."""
_SEED: Final = 20_260
_LONGEST_S: Final = 1800.0
_WINDOWS_OF_A_FILE: Final = 4
_LEVELS: Final = (1.0, 0.1, 0.003, 0.5)
_OFFSETS: Final = (0.0, 0.0, 0.0, 0.2)


@dataclass(frozen=True, kw_only=True)
class Sounds:
    """Windows of 16 kHz mono, float32 [n, samples] in [-1, 1]; those shorter than a window are followed by zeros."""

    windows: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.windows)

    def clips(self) -> list[NDArray[np.float32]]:
        """Each window up to its last sample that is not zero, `SHORTEST` at least: what an original is given."""
        ends = [int(np.flatnonzero(window)[-1]) + 1 if window.any() else 0 for window in self.windows]
        return [window[: max(end, SHORTEST)] for window, end in zip(self.windows, ends, strict=True)]

    def whole(self) -> NDArray[np.bool_]:
        """Which windows are filled to their end, bool [n]."""
        return np.asarray([len(clip) == self.windows.shape[1] for clip in self.clips()])


def made_sounds(samples: int) -> Sounds:
    """Voices and their vocoder copies through lines of all kinds, at several levels and offsets, some of them short.

    The same ones at every call.
    """
    windows: list[NDArray[np.float32]] = []
    lengths = (samples, samples, samples, max(samples // 2 + 37, SHORTEST), samples, max(samples // 7, SHORTEST))
    for index, length in enumerate(lengths[:VOICES]):
        rng = np.random.default_rng((_SEED, index))
        voice = speak(rng, draw_voice(rng), length)
        sound = through_channel(rng, copy_synthesis(rng, voice) if index % 2 else voice)
        level, offset = _LEVELS[index % len(_LEVELS)], _OFFSETS[index % len(_OFFSETS)]
        window = np.zeros(samples, np.float32)
        window[:length] = np.clip(level * sound / np.abs(sound).max() + offset, -1, 1)
        windows.append(window)
    return Sounds(windows=np.stack(windows))


def recorded_sounds(folder: Path, samples: int) -> Sounds:
    """Windows of the recordings in a folder, decoded as the audio Bento does it.

    Raises:
        RefusedError: There is no sound in the folder that can be decoded.
    """
    options = AudioOptions(samples=samples, hop=samples, max_seconds=_LONGEST_S, most_windows=_WINDOWS_OF_A_FILE)
    windows: list[NDArray[np.float32]] = []
    problem = "it holds no files"
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        try:
            windows.extend(prepare_audio(file, options).windows)
        except DetectionError as error:
            problem = f"{file.name}: {error}"
        if len(windows) >= MOST:
            break
    if not windows:
        raise RefusedError(f"{folder} has no sound to compare with the original ({problem}). Give another --samples.")
    return Sounds(windows=np.stack(windows[:MOST]))
