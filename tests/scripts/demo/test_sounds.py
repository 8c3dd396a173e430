import numpy as np
import pytest

from scripts.demo.sounds import cut_windows, draw_utterances, through_channel
from scripts.demo.speech import draw_voice, speak
from scripts.demo.vocoders import copy_synthesis, griffin_lim, linear_prediction


def spectrum(sound: np.ndarray) -> np.ndarray:
    """Energy in 40 bands, as shares of the whole."""
    energy = np.abs(np.fft.rfft(sound)) ** 2
    bands = np.asarray([band.sum() for band in np.array_split(energy, 40)])
    return bands / bands.sum()


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    rng = np.random.default_rng(8)
    return speak(rng, draw_voice(rng), 32_000)


def test_a_voice_has_a_pitch_and_pauses_and_keeps_its_peak(voice: np.ndarray) -> None:
    assert voice.dtype == np.float32
    assert np.abs(voice).max() == pytest.approx(0.7, abs=1e-3)
    loudness = np.asarray([np.abs(piece).mean() for piece in np.array_split(voice, 100)])
    assert loudness.max() > 5 * loudness.min()


def test_vocoders_keep_the_spectrum_but_not_the_waveform(voice: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    copies = [
        griffin_lim(rng, voice, frame=512, mels=80, iterations=8),
        linear_prediction(rng, voice, order=18),
        copy_synthesis(rng, voice),
    ]
    for copy in copies:
        assert copy.shape == voice.shape
        assert np.all(np.isfinite(copy))
        assert np.abs(spectrum(copy) - spectrum(voice)).sum() < 0.8
        assert abs(np.corrcoef(copy, voice)[0, 1]) < 0.9


def test_more_iterations_make_the_spectrogram_more_consistent(voice: np.ndarray) -> None:
    def error(iterations: int) -> float:
        copy = griffin_lim(np.random.default_rng(2), voice, frame=512, mels=80, iterations=iterations)
        frames = [np.abs(np.fft.rfft(s.reshape(-1, 500) * np.hanning(500), axis=1)) for s in (copy, voice)]
        return float(np.linalg.norm(frames[0] - frames[1]) / np.linalg.norm(frames[1]))

    assert error(16) < error(1)


def test_utterances_are_seeded_and_voices_of_two_parts_are_never_the_same() -> None:
    train, test = draw_utterances(1, "train", 0, 2), draw_utterances(1, "test", 0, 2)
    assert train.sounds.shape == (2, 2, 48_000)
    assert draw_utterances(1, "train", 1, 2).sounds.tobytes() == train.sounds[1:].tobytes()
    assert not np.allclose(train.sounds[:, 0], test.sounds[:, 0], atol=0.05)
    windows, spoofed = cut_windows(3, train)
    assert windows.shape == (4, 32_000)
    assert spoofed.tolist() == [False, True, False, True]
    np.testing.assert_array_equal(windows, cut_windows(3, train)[0])


def test_a_channel_keeps_length_and_range(voice: np.ndarray) -> None:
    for seed in range(12):
        heard = through_channel(np.random.default_rng(seed), voice)
        assert heard.shape == voice.shape
        assert heard.dtype == np.float32
        assert 0.01 < np.abs(heard).max() < 1.5
