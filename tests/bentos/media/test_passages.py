"""Passages of a sound: every second is as loud as its time, so that a window tells where it comes from."""

import io

import av
import numpy as np
import pytest

from bentos.errors import MediaTooLongError, NoSamplesError
from bentos.media.audio import prepare_audio
from bentos.media.options import AudioOptions, PassageOptions
from bentos.media.passages import measure_audio, prepare_passage
from bentos.media.prepared import PreparedPassage
from bentos.sampling import RATE
from tests.fixtures import media

OPTIONS = AudioOptions(samples=RATE, hop=RATE)
SECONDS = 40
KINDS = ["wav", "mp3", "flac", "mp4", "matroska"]


def rising() -> np.ndarray:
    level = np.repeat((np.arange(SECONDS) + 1) / (SECONDS + 2), RATE)
    return (media.tone(SECONDS, level=1.0) * level).astype(np.float32)


def passage(data: bytes, *starts_s: float) -> PreparedPassage:
    first_s = measure_audio(data, OPTIONS).first_s
    starts = tuple(round(start * RATE) for start in starts_s)
    return prepare_passage(data, PassageOptions(audio=OPTIONS, first_s=first_s, starts=starts))


@pytest.fixture(scope="module", params=KINDS)
def sound(request: pytest.FixtureRequest) -> bytes:
    return media.sound(rising(), kind=request.param)


def test_windows_of_a_passage_are_those_of_the_whole(sound: bytes) -> None:
    whole = prepare_audio(sound, OPTIONS)
    for starts in ((0, 1, 2), (17, 18, 25), (36, 38)):
        prepared = passage(sound, *starts)
        assert prepared.windows.dtype == np.float32
        assert prepared.windows.shape == (len(starts), RATE)
        assert prepared.spans == tuple((start, start + 1) for start in starts)
        for window, start in zip(prepared.windows, starts, strict=True):
            # Containers round their time stamps to milliseconds and codecs add silence in front.
            middle = slice(RATE // 4, -RATE // 4)
            assert np.abs(window[middle]).max() == pytest.approx(np.abs(whole.windows[start][middle]).max(), abs=0.02)
        assert prepared.peak == pytest.approx(np.abs(prepared.windows).max(), abs=0.05)
        assert prepared.damaged == 0


def test_the_length_is_that_of_the_decoded_sound(sound: bytes) -> None:
    length = measure_audio(sound, OPTIONS)
    assert length.seconds == pytest.approx(prepare_audio(sound, OPTIONS).duration_s, abs=0.15)
    assert (length.sample_rate, length.channels, length.unscored) == (RATE, 1, ())


def test_windows_past_the_end_are_left_out_and_the_last_may_be_cut_short() -> None:
    prepared = passage(media.wav(rising()), 38, 39.4, 39.8, 45)
    assert [span[0] for span in prepared.spans] == [38, 39.4]
    assert prepared.spans[-1] == pytest.approx((39.4, 40))
    assert not prepared.windows[-1][round(0.7 * RATE) :].any()
    assert passage(media.wav(rising()), 60).spans == ()


def test_a_file_without_marks_is_read_from_its_beginning() -> None:
    source = media.sound(rising(), kind="mp4")
    buffer = io.BytesIO()
    with av.open(io.BytesIO(source)) as whole, av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream_from_template(whole.streams.audio[0])
        for packet in whole.demux(whole.streams.audio[0]):
            if packet.size:
                packet.stream, packet.is_keyframe = stream, False
                container.mux(packet)
    prepared = passage(buffer.getvalue(), 30)
    assert np.abs(prepared.windows[0][4000:-4000]).max() == pytest.approx(31 / 42, abs=0.03)


def test_too_long_a_sound_is_noticed_while_it_is_measured() -> None:
    with pytest.raises(MediaTooLongError):
        measure_audio(media.wav(rising(), announced=0xFFFFFFFF), AudioOptions(samples=RATE, hop=RATE, max_seconds=30))


def test_a_file_without_sound_has_no_length() -> None:
    with pytest.raises(NoSamplesError):
        measure_audio(media.clip(media.frames_of(media.scenery()[:64, :64], 5)), OPTIONS)
    with pytest.raises(NoSamplesError):
        measure_audio(media.wav(np.empty(0, np.float32)), OPTIONS)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_counted_and_never_comes_as_a_surprise(kind: str) -> None:
    torn = bytearray(media.sound(rising(), kind=kind))
    torn[len(torn) // 3 : len(torn) // 2] = bytes(len(torn) // 2 - len(torn) // 3)
    for start in (0, 15, 30):
        prepared = prepare_passage(
            bytes(torn), PassageOptions(audio=OPTIONS, first_s=0, starts=(start * RATE, (start + 3) * RATE))
        )
        assert np.isfinite(prepared.windows).all()
        assert prepared.packets >= prepared.damaged >= 0
