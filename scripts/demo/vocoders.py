"""Copy-synthesis, the spoofed class of the audio demo: a sound is taken apart and put together again by a vocoder.

Two classical ones stand for what synthetic speech goes through at its end: Griffin-Lim from a mel spectrogram, which
invents the phase, and linear prediction with an artificial source, which invents the breath and the roughness.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft, linalg, signal

from scripts.demo.shapes import SAMPLE_RATE
from scripts.demo.speech import Sound

_FLOOR: Final = 1e-8
_OVERLAP: Final = 4
_LOWEST_PITCH: Final = 70
_HIGHEST_PITCH: Final = 330
_VOICED: Final = 0.35


def copy_synthesis(rng: np.random.Generator, sound: Sound) -> Sound:
    """The sound as a vocoder of random kind and setting gives it back, float32 [samples] with a peak of 0.7."""
    if rng.random() < 0.6:
        copy = griffin_lim(
            rng,
            sound,
            frame=int(rng.choice([400, 512, 800])),
            mels=int(rng.integers(48, 97)),
            iterations=int(rng.integers(6, 25)),
        )
    else:
        copy = linear_prediction(rng, sound, order=int(rng.integers(16, 24)))
    return (0.7 * copy / (np.abs(copy).max() + _FLOOR)).astype(np.float32)


def griffin_lim(rng: np.random.Generator, sound: Sound, *, frame: int, mels: int, iterations: int) -> NDArray:
    """Sound from its own mel spectrogram: the phase starts at random and is made consistent step by step.

    Griffin & Lim, 1984, "Signal Estimation from Modified Short-Time Fourier Transform". A quarter of `frame` samples
    lies between two frames.
    """
    bank = _mel_bank(mels, fft.rfftfreq(frame, 1 / SAMPLE_RATE))
    magnitude = (np.abs(_analyse(sound, frame)) @ bank.T) @ np.linalg.pinv(bank).T
    magnitude = np.maximum(magnitude, _FLOOR).astype(np.float32)
    spectrum = magnitude * np.exp(2j * np.pi * rng.random(magnitude.shape)).astype(np.complex64)
    for _ in range(iterations):
        consistent = _analyse(_synthesise(spectrum, frame, len(sound)), frame)
        spectrum = magnitude * (consistent / (np.abs(consistent) + np.float32(_FLOOR)))
    return _synthesise(spectrum, frame, len(sound))


def linear_prediction(rng: np.random.Generator, sound: Sound, *, order: int) -> NDArray:
    """Sound from its spectral envelope every 5 ms, driven by even pulses where it was voiced and by noise elsewhere."""
    hop, frame = 80, 400
    window = signal.windows.hann(frame, sym=False)
    padded = np.pad(sound.astype(np.float64), frame)
    out = np.zeros(len(padded))
    state = np.zeros(order)
    since_pulse = 0.0
    mixed = rng.uniform(0.0, 0.15)
    for start in range(0, len(padded) - frame, hop):
        piece = padded[start : start + frame] * window
        correlation = np.correlate(piece, piece, mode="full")[frame - 1 :]
        correlation[0] = correlation[0] * (1 + 1e-5) + 1e-6
        predictor = linalg.solve_toeplitz(correlation[:order], correlation[1 : order + 1])
        energy = max(correlation[0] - predictor @ correlation[1 : order + 1], 0.0) / (window @ window)
        period = _period(correlation)
        source = rng.standard_normal(hop) * (mixed if period else 1.0)
        if period:
            while since_pulse < hop:
                source[int(since_pulse)] += np.sqrt(period)
                since_pulse += period
            since_pulse -= hop
        else:
            since_pulse = 0.0
        middle = slice(start + (frame - hop) // 2, start + (frame + hop) // 2)
        out[middle], state = signal.lfilter([np.sqrt(energy)], [1, *-predictor], source, zi=state)
    return out[frame : frame + len(sound)]


def _period(correlation: NDArray) -> float:
    """Pitch period in samples by autocorrelation, or 0 where the frame is not voiced."""
    shortest, longest = SAMPLE_RATE // _HIGHEST_PITCH, SAMPLE_RATE // _LOWEST_PITCH
    lag = shortest + int(np.argmax(correlation[shortest:longest]))
    return float(lag) if correlation[lag] > _VOICED * correlation[0] else 0.0


def _analyse(sound: Sound, frame: int) -> NDArray[np.complex64]:
    """Short-time spectrum [frames, frame // 2 + 1] with a Hann window, four frames over each sample."""
    padded = np.pad(sound, frame)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, frame)[:: frame // _OVERLAP]
    return np.asarray(fft.rfft(pieces * _window(frame), axis=1), np.complex64)


def _synthesise(spectrum: NDArray[np.complex64], frame: int, samples: int) -> Sound:
    """The sound whose short-time spectrum is nearest: windowed frames, added up where they overlap."""
    hop = frame // _OVERLAP
    # Squared Hann windows at a quarter of their length add up to 1.5 everywhere.
    pieces = np.asarray(fft.irfft(spectrum, frame, axis=1), np.float32) * (_window(frame) / np.float32(1.5))
    padded = np.zeros((len(pieces) + _OVERLAP - 1) * hop, np.float32)
    for quarter in range(_OVERLAP):
        part = pieces[:, quarter * hop : (quarter + 1) * hop].ravel()
        padded[quarter * hop : quarter * hop + len(part)] += part
    return padded[frame : frame + samples]


def _window(frame: int) -> NDArray[np.float32]:
    return signal.windows.hann(frame, sym=False).astype(np.float32)


def _mel_bank(mels: int, frequencies: NDArray) -> NDArray:
    """Triangular filters [mels, bins], evenly spaced in mels up to half the sample rate."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))
