"""Labelled windows for the audio detector: a voice, and its copy by a vocoder, over the same kind of line.

Voices are numbered apart for each part, so nobody is heard in two of them. Every window, genuine or not, goes through
a random channel of its own, so that level, band and noise tell nothing.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from scripts.demo.photographs import Part
from scripts.demo.shapes import SAMPLE_RATE, WINDOW
from scripts.demo.speech import Sound, draw_voice, speak
from scripts.demo.vocoders import copy_synthesis

UTTERANCE: Final = WINDOW + WINDOW // 2
"""Samples of one utterance, from which windows are cut."""
_FIRST_VOICE: Final[dict[Part, int]] = {"train": 0, "calibration": 1_000_000, "test": 2_000_000}


@dataclass(frozen=True, slots=True)
class Utterances:
    """Utterances and their vocoder copies, float32 [n, 2, 48000], genuine first."""

    sounds: Sound

    def __len__(self) -> int:
        return len(self.sounds)


def draw_utterances(seed: int, part: Part, start: int, stop: int) -> Utterances:
    """Voices number `start` to `stop` of a part, one utterance each, with its copy."""
    pairs: list[list[Sound]] = []
    for index in range(start, stop):
        rng = np.random.default_rng((seed, _FIRST_VOICE[part] + index))
        genuine = speak(rng, draw_voice(rng), UTTERANCE)
        pairs.append([genuine, copy_synthesis(rng, genuine)])
    return Utterances(np.asarray(pairs, np.float32))


def cut_window(rng: np.random.Generator, sound: Sound) -> Sound:
    """A random window of an utterance after a random channel, float32 [32000]."""
    start = int(rng.integers(0, len(sound) - WINDOW + 1))
    return through_channel(rng, sound[start : start + WINDOW])


def cut_windows(seed: int, data: Utterances) -> tuple[Sound, NDArray[np.bool_]]:
    """One window of every utterance and copy, float32 [2n, 32000], and which are spoofed, bool [2n]."""
    flat = data.sounds.reshape(-1, UTTERANCE)
    windows = [cut_window(np.random.default_rng((seed, index)), sound) for index, sound in enumerate(flat)]
    return np.stack(windows), np.arange(len(flat)) % 2 == 1


def through_channel(rng: np.random.Generator, sound: Sound) -> Sound:
    """The sound after a random line: another rate and back, a band, companding, noise, level; float32, same length."""
    line = sound.astype(np.float64)
    if rng.random() < 0.4:
        up, down = [(11, 16), (3, 4), (7, 8), (441, 320), (3, 2)][int(rng.integers(5))]
        line = signal.resample_poly(signal.resample_poly(line, up, down), down, up)[: len(sound)]
        line = np.pad(line, (0, len(sound) - len(line)))
    if rng.random() < 0.5:
        band = (rng.uniform(40, 150), rng.uniform(4500, 7800))
        line = signal.sosfilt(signal.butter(3, band, "bandpass", fs=SAMPLE_RATE, output="sos"), line)
    peak = np.abs(line).max() + 1e-9
    if rng.random() < 0.3:
        # Eight-bit companding, as telephones do it.
        companded = np.sign(line) * np.log1p(255 * np.abs(line) / peak) / np.log(256)
        coarse = np.rint(companded * 127) / 127
        line = np.sign(coarse) * np.expm1(np.abs(coarse) * np.log(256)) / 255 * peak
    line = line + 10 ** (-rng.uniform(30, 60) / 20) * line.std() * rng.standard_normal(len(line))
    return (line * (10 ** (-rng.uniform(0, 24) / 20) / peak)).astype(np.float32)
