import numpy as np
import pytest

from bentos.errors import (
    EmptyMediaError,
    MediaError,
    MediaTooLongError,
    NoSamplesError,
    UnreadableMediaError,
    UnsupportedMediaError,
)
from bentos.media.audio import prepare_audio
from bentos.media.options import AudioOptions
from tests.fixtures import media

OPTIONS = AudioOptions(samples=16_000, hop=8_000)


def codes(reasons) -> list[str]:
    return [reason.code for reason in reasons]


def loudest_hertz(window: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(window)).argmax()) * 16_000 / len(window)


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "mp4", "ogg"])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (48_000, 2), (44_100, 2), (8_000, 1)])
def test_every_format_becomes_sixteen_kilohertz_mono(kind: str, rate: int, channels: int) -> None:
    if kind == "ogg":
        rate = 48_000
    data = media.sound(media.tone(2.5, rate=rate, hertz=440), kind=kind, rate=rate, channels=channels)
    prepared = prepare_audio(data, OPTIONS)
    assert prepared.windows.dtype == np.float32
    assert prepared.windows.shape[1] == 16_000
    assert prepared.duration_s == pytest.approx(2.5, abs=0.1)
    assert prepared.sample_rate == rate
    assert loudest_hertz(prepared.windows[1]) == pytest.approx(440, abs=2)
    assert np.abs(prepared.windows[1]).max() == pytest.approx(0.3, abs=0.05)
    assert codes(prepared.reasons) == codes(prepared.unscored) == []
    if kind != "ogg":
        assert prepared.channels == channels


def test_windows_overlap_and_the_last_ends_with_the_clip() -> None:
    samples = np.linspace(-0.9, 0.9, 40_100, dtype=np.float32)
    prepared = prepare_audio(media.sound(samples), OPTIONS)
    assert prepared.spans[0] == (0.0, 1.0)
    assert prepared.spans[1] == (0.5, 1.5)
    assert prepared.spans[-1] == pytest.approx((40_100 / 16_000 - 1, 40_100 / 16_000))
    assert prepared.windows[1] == pytest.approx(samples[8_000:24_000], abs=1e-3)
    assert prepared.windows[-1] == pytest.approx(samples[-16_000:], abs=1e-3)


def test_a_path_is_as_good_as_bytes(tmp_path) -> None:
    data = media.sound(media.tone(1.5))
    path = tmp_path / "clip"
    path.write_bytes(data)
    assert (prepare_audio(path, OPTIONS).windows == prepare_audio(data, OPTIONS).windows).all()


def test_the_sound_of_a_video_is_heard() -> None:
    assert prepare_audio(media.sound(media.tone(1.5), kind="matroska"), OPTIONS).duration_s == pytest.approx(
        1.5, abs=0.1
    )


def test_a_short_clip_is_padded_and_says_so() -> None:
    prepared = prepare_audio(media.sound(media.tone(0.25)), OPTIONS)
    assert prepared.windows.shape == (1, 16_000)
    assert not prepared.windows[0, 4_000:].any()
    assert prepared.spans == ((0.0, 0.25),)
    assert codes(prepared.reasons) == ["clip_too_short"]


def test_silence_is_a_reason() -> None:
    assert codes(prepare_audio(media.sound(np.zeros(32_000, np.float32)), OPTIONS).reasons) == ["silent"]


def test_too_many_windows_are_thinned_and_said_so() -> None:
    prepared = prepare_audio(media.sound(media.tone(12)), AudioOptions(samples=16_000, hop=8_000, most_windows=5))
    assert prepared.windows.shape == (5, 16_000)
    assert prepared.spans[0][0] == 0
    assert prepared.spans[-1][1] == pytest.approx(12)
    assert codes(prepared.unscored) == ["windows_left_out"]


def test_too_long_is_refused() -> None:
    strict = AudioOptions(samples=16_000, hop=8_000, max_seconds=2)
    with pytest.raises(MediaTooLongError):
        prepare_audio(media.sound(media.tone(3)), strict)
    with pytest.raises(MediaTooLongError):  # Its header does not say how long it is.
        prepare_audio(
            media.wav(media.tone(3), announced=0xFFFFFFFF), AudioOptions(samples=16_000, hop=8_000, max_seconds=2)
        )


def test_samples_out_of_range_are_brought_back() -> None:
    wild = np.array([np.nan, np.inf, -np.inf, 5.0, -5.0, 0.5] * 4_000, "<f4")
    windows = prepare_audio(media.wav(wild), OPTIONS).windows
    assert np.isfinite(windows).all()
    assert np.abs(windows).max() <= 1


def test_a_wav_without_samples_has_none() -> None:
    with pytest.raises(NoSamplesError):
        prepare_audio(media.wav(np.zeros(0, np.int16)), OPTIONS)


def test_a_video_without_sound_has_no_samples() -> None:
    with pytest.raises(NoSamplesError):
        prepare_audio(media.clip(media.frames_of(media.portrait(), 3)), OPTIONS)


def test_a_truncated_wav_is_judged_in_part() -> None:
    data = media.sound(media.tone(4))
    prepared = prepare_audio(data[: len(data) // 2], OPTIONS)
    assert prepared.duration_s == pytest.approx(2, abs=0.1)


def test_a_truncated_m4a_is_unreadable() -> None:
    data = media.sound(media.tone(4), kind="mp4")
    with pytest.raises(UnreadableMediaError):
        prepare_audio(data[: len(data) // 2], OPTIONS)


def test_a_truncated_flac_is_judged_in_part() -> None:
    data = media.sound(media.tone(4), kind="flac")
    prepared = prepare_audio(data[: len(data) // 2], OPTIONS)
    assert prepared.duration_s < 3.5
    assert prepared.unscored


@pytest.mark.parametrize(
    "data", [b"no sound at all " * 40, b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile 'x'\n"]
)
def test_text_and_playlists_are_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedMediaError):
        prepare_audio(data, OPTIONS)


def test_a_picture_is_no_sound() -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        with pytest.raises(UnsupportedMediaError):
            prepare_audio(media.encoded(media.portrait(), kind), OPTIONS)


def test_an_empty_file_is_said_to_be_empty() -> None:
    with pytest.raises(EmptyMediaError):
        prepare_audio(b"", OPTIONS)


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "mp4", "ogg"])
def test_damage_anywhere_is_decoded_or_refused_but_never_unforeseen(kind: str) -> None:
    data = media.sound(media.tone(1.2, rate=48_000), kind=kind, rate=48_000)
    rng = np.random.default_rng(9)
    outcomes: set[str] = set()
    for _ in range(30):
        damaged = bytearray(data)
        for position in rng.integers(0, len(damaged), 12):
            damaged[position] = rng.integers(256)
        try:
            windows = prepare_audio(bytes(damaged), OPTIONS).windows
            assert np.isfinite(windows).all()
            outcomes.add("decoded")
        except MediaError as error:
            outcomes.add(error.code)
    assert "decoded" in outcomes
