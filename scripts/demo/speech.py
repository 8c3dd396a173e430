"""Synthesised speech-like sound, the bona fide class of the audio demo: voices that babble, pause and sit in a room.

A glottal pulse train and breath noise go through five moving resonators (Fant's source-filter model). Sound is float32,
mono, 16 kHz. Everything follows from the generator.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from scripts.demo.shapes import SAMPLE_RATE

Sound = NDArray[np.float32]

_BLOCK: Final = 80
"""Samples between two settings of the resonators, 5 ms."""
_VOWELS: Final = np.asarray(
    [
        [270, 2290, 3010, 3600, 4500],
        [390, 1990, 2550, 3500, 4500],
        [530, 1840, 2480, 3500, 4400],
        [660, 1720, 2410, 3500, 4400],
        [730, 1090, 2440, 3400, 4300],
        [570, 840, 2410, 3300, 4300],
        [440, 1020, 2240, 3300, 4200],
        [300, 870, 2240, 3300, 4200],
        [490, 1350, 1690, 3300, 4200],
    ],
    dtype=np.float64,
)
"""Formants in Hz: the averages of Peterson & Barney, 1952, with usual fourth and fifth ones."""
_HISSES: Final = np.asarray([[1800, 3000, 4600, 5600, 6900], [1500, 2400, 3200, 4800, 6000]], dtype=np.float64)
_WIDTHS: Final = np.asarray([70, 90, 130, 190, 260], dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """What stays the same while someone speaks: pitch in Hz, length of the throat, roughness, breath and rhythm."""

    pitch: float
    formant_scale: float
    jitter: float
    shimmer: float
    breath: float
    open_share: float
    tempo: float


def draw_voice(rng: np.random.Generator) -> Voice:
    """A random voice between a deep and a child's one."""
    pitch = float(np.exp(rng.uniform(np.log(85), np.log(270))))
    # Higher voices come from shorter throats, loosely.
    scale = 0.9 + 0.25 * np.log(pitch / 85) / np.log(270 / 85) + rng.uniform(-0.08, 0.08)
    return Voice(
        pitch=pitch,
        formant_scale=float(scale),
        jitter=float(rng.uniform(0.004, 0.02)),
        shimmer=float(rng.uniform(0.02, 0.12)),
        breath=float(rng.uniform(0.01, 0.08)),
        open_share=float(rng.uniform(0.45, 0.75)),
        tempo=float(rng.uniform(0.75, 1.35)),
    )


def speak(rng: np.random.Generator, voice: Voice, samples: int) -> Sound:
    """Babble of a voice in a room with some background noise, float32 [samples] with a peak of 0.7."""
    blocks = -(-samples // _BLOCK)
    formants, voicing, hiss = _score(rng, voice, blocks)
    dry = _resonate(_source(rng, voice, voicing, hiss), formants)[:samples]
    # The mouth radiates high frequencies better.
    dry = signal.lfilter([1, -0.9], [1], dry)
    wet = _in_room(rng, dry / (np.abs(dry).max() + 1e-9))
    noise = signal.lfilter([1], [1, -rng.uniform(0.3, 0.97)], rng.standard_normal(samples))
    level = 10 ** (-rng.uniform(22, 48) / 20) * wet.std() / noise.std()
    sound = wet + level * noise
    return (0.7 * sound / np.abs(sound).max()).astype(np.float32)


def _score(rng: np.random.Generator, voice: Voice, blocks: int) -> tuple[NDArray, NDArray, NDArray]:
    """Formants [blocks, 5] in Hz, and how much is voiced and how much hisses, [blocks] each in [0, 1]."""
    formants = np.empty((blocks, 5))
    voicing, hiss = np.empty(blocks), np.empty(blocks)
    at = 0
    while at < blocks:
        kind = rng.choice(4, p=(0.62, 0.13, 0.15, 0.10))
        milliseconds = (rng.uniform(90, 260), rng.uniform(40, 90), rng.uniform(60, 140), rng.uniform(60, 350))[kind]
        piece = slice(at, at + max(2, round(milliseconds / 5 / voice.tempo)))
        vowel = _VOWELS[rng.integers(len(_VOWELS))] * rng.normal(1, 0.04, 5)
        formants[piece] = (_HISSES[rng.integers(len(_HISSES))] if kind == 2 else vowel) * voice.formant_scale
        voicing[piece] = (rng.uniform(0.6, 1), rng.uniform(0.15, 0.35), rng.choice([0, 0.2]), 0)[kind]
        hiss[piece] = (0, 0.05, rng.uniform(0.15, 0.5), 0)[kind]
        at = piece.stop
    smooth = signal.windows.hann(11)
    smooth /= smooth.sum()

    def glide(track: NDArray) -> NDArray:
        return np.convolve(np.pad(track, 5, mode="edge"), smooth, mode="valid")

    return np.stack([glide(track) for track in formants.T], axis=1), glide(voicing), glide(hiss)


def _source(rng: np.random.Generator, voice: Voice, voicing: NDArray, hiss: NDArray) -> NDArray:
    """Glottal flow's derivative with breath and hiss, [blocks * 80]."""
    samples = len(voicing) * _BLOCK
    time = np.arange(samples) / SAMPLE_RATE
    blocks = np.arange(len(voicing)) * _BLOCK
    melody = np.cumsum(rng.normal(0, 0.012, len(voicing)))
    melody -= np.linspace(0, melody[-1] + rng.uniform(0, 0.25), len(melody))
    melody += 0.1 * voicing
    pitch = voice.pitch * np.exp(np.interp(np.arange(samples), blocks, melody))
    pitch *= 1 + 0.01 * np.sin(2 * np.pi * rng.uniform(4, 6) * time)
    phase = np.cumsum(pitch) / SAMPLE_RATE
    cycles = int(phase[-1]) + 2
    # Each cycle is a little longer or shorter and louder or softer than the last.
    phase += np.interp(phase, np.arange(cycles), voice.jitter * rng.standard_normal(cycles))
    loudness = 1 + voice.shimmer * rng.standard_normal(cycles + 1)
    cycle, within = np.divmod(np.maximum(phase, 0), 1.0)
    opening = np.clip(within / voice.open_share, 0, 1)
    # Rosenberg's pulse: opens slowly, shuts fast.
    flow = np.where(within < voice.open_share, opening**2 * (1 - opening) * 6.75, 0)
    flow *= loudness[np.minimum(cycle.astype(int), cycles)]
    pulses = np.diff(flow, prepend=flow[0]) * 8
    noise = rng.standard_normal(samples)
    voiced, hissing = (np.interp(np.arange(samples), blocks, track) for track in (voicing, hiss))
    return voiced * (pulses + voice.breath * noise * (0.3 + flow)) + 0.06 * hissing * noise


def _resonate(source: NDArray, formants: NDArray) -> NDArray:
    """Send a source through five resonators in a row whose frequencies change every 5 ms."""
    radius = np.exp(-np.pi * _WIDTHS / SAMPLE_RATE)
    middle = -2 * radius * np.cos(2 * np.pi * np.minimum(formants, 7600) / SAMPLE_RATE)
    sections = np.zeros((len(formants), 5, 6))
    sections[:, :, 0] = 1 + middle + radius**2
    sections[:, :, 3], sections[:, :, 4], sections[:, :, 5] = 1, middle, radius**2
    state = np.zeros((5, 2))
    out = np.empty_like(source)
    for index, section in enumerate(sections):
        block = slice(index * _BLOCK, (index + 1) * _BLOCK)
        out[block], state = signal.sosfilt(section, source[block], zi=state)
    return out


def _in_room(rng: np.random.Generator, dry: NDArray) -> NDArray:
    decay = rng.uniform(0.05, 0.35)
    length = int(decay * SAMPLE_RATE)
    tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail *= rng.uniform(0.0, 0.5) / np.linalg.norm(tail)
    tail[0] = 1
    return signal.fftconvolve(dry, tail)[: len(dry)]
