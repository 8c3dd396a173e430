"""Stretches of a video: every frame is as bright as its time, so that a crop tells where it comes from."""

import io
from collections.abc import Iterator

import av
import numpy as np
import pytest

from bentos.errors import MediaTooCostlyError, MediaTooLongError, NoFramesError, UnreadableMediaError
from bentos.media import frames
from bentos.media.options import StretchOptions, VideoOptions
from bentos.media.prepared import CropShape, PreparedVideo
from bentos.media.video import measure_video, prepare_stretch, prepare_video
from tests.fixtures import media

RATE, SECONDS = 5, 40
SHAPE = CropShape(height=32, width=32, resize_filter="area", margin=0.3)
OPTIONS = VideoOptions(shape=SHAPE, frames=6, fewest_frames=6)
KINDS = ["mp4", "mov", "avi", "matroska", "mpegts"]


def brightening(seconds: int = SECONDS) -> Iterator[media.Pixels]:
    for number in range(seconds * RATE):
        yield np.full((96, 128, 3), 20 + number, np.uint8)


def stretch(data: bytes, start_s: float, end_s: float, *, options: VideoOptions = OPTIONS) -> PreparedVideo:
    first = measure_video(data, options).first
    return prepare_stretch(data, StretchOptions(video=options, first=first, start_s=start_s, end_s=end_s))


def times_by_brightness(prepared: PreparedVideo) -> list[float]:
    return [(float(crop.mean()) - 20) / RATE for crop in prepared.crops]


class Pipe:
    """What cannot be sought in, so that no index is written."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


@pytest.fixture(scope="module", params=KINDS)
def clip(request: pytest.FixtureRequest) -> bytes:
    return media.clip(brightening(), kind=request.param, rate=RATE, keyframe_every=15)


@pytest.fixture(scope="module")
def mp4() -> bytes:
    return media.clip(brightening(), rate=RATE, keyframe_every=15)


def test_a_stretch_shows_its_own_time_and_no_other(clip: bytes) -> None:
    for start_s in (0, 12.4, 30):
        prepared = stretch(clip, start_s, start_s + 10)
        (track,) = prepared.tracks
        moments = [crop.time_s for crop in track]
        assert len(moments) == prepared.frames_sampled == 6
        assert all(start_s - 0.21 <= moment < start_s + 10 for moment in moments)
        assert moments[-1] - moments[0] > 6
        assert times_by_brightness(prepared) == pytest.approx(moments, abs=0.35)
        assert prepared.reasons[0].code == "no_face_found"
        assert (prepared.duration_s, prepared.unscored) == (pytest.approx(10), ())


def test_the_length_is_measured_without_a_list(clip: bytes) -> None:
    length = measure_video(clip, OPTIONS)
    assert length.seconds == pytest.approx(SECONDS, abs=0.21)
    assert length.seconds == pytest.approx(prepare_video(clip, OPTIONS).duration_s)
    assert length.unscored == ()


def test_only_the_packets_of_a_stretch_are_read(mp4: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = 0
    original = frames._packets

    def count(*arguments):
        nonlocal listed
        for packet in original(*arguments):
            listed += 1
            yield packet

    length = measure_video(mp4, OPTIONS)
    monkeypatch.setattr(frames, "_packets", count)
    prepare_stretch(mp4, StretchOptions(video=OPTIONS, first=length.first, start_s=30, end_s=32))
    # From the keyframe before, at most 15 frames back, to a frame or two past the end.
    assert listed <= 15 + 2 * RATE + 4


def test_a_file_that_was_written_live_is_entered_in_the_middle_too(mp4: bytes) -> None:
    for kind, options in (("matroska", {"live": "1"}), ("mp4", {"movflags": "frag_keyframe+empty_moov"})):
        pipe = Pipe()
        with av.open(io.BytesIO(mp4)) as source, av.open(pipe, "w", format=kind, options=options) as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
        prepared = stretch(bytes(pipe.data), 25, 35)
        assert times_by_brightness(prepared) == pytest.approx([crop.time_s for crop in prepared.tracks[0]], abs=0.35)
        assert prepared.tracks[0][0].time_s >= 24.7


def test_one_keyframe_for_all_is_enough() -> None:
    data = media.clip(brightening(), rate=RATE, keyframe_every=1000)
    prepared = stretch(data, 30, 40)
    assert times_by_brightness(prepared) == pytest.approx([crop.time_s for crop in prepared.tracks[0]], abs=0.35)


def test_a_stretch_between_two_pictures_of_a_slide_show_shows_the_one_before() -> None:
    slides = media.clip(list(brightening())[::RATE], rate=1, keyframe_every=1)
    prepared = stretch(slides, 20.2, 20.7)
    assert [crop.time_s for crop in prepared.tracks[0]] == [20]
    assert "clip_too_short" in {reason.code for reason in prepared.reasons}
    assert all("video" not in reason.message for reason in prepared.reasons if reason.code == "clip_too_short")


def test_beyond_the_end_there_is_only_the_last_picture(mp4: bytes) -> None:
    prepared = stretch(mp4, 100, 110)
    assert [round(crop.time_s, 1) for crop in prepared.tracks[0]] == [39.8]


def test_a_thumbnail_is_of_the_middle_of_the_stretch(mp4: bytes) -> None:
    options = VideoOptions(shape=SHAPE, frames=6, thumbnail=True)
    assert len(stretch(mp4, 10, 20, options=options).thumbnail) > 0
    assert len(stretch(mp4, 10, 20).thumbnail) == 0


def test_too_long_a_video_is_noticed_while_it_is_measured() -> None:
    live = media.clip(brightening(), kind="mpegts", rate=RATE)
    with pytest.raises(MediaTooLongError):
        measure_video(live, VideoOptions(shape=SHAPE, max_seconds=30))


def test_what_is_no_video_has_no_length() -> None:
    with pytest.raises(NoFramesError):
        measure_video(media.empty_clip(), OPTIONS)


def test_packets_beyond_all_measure_are_refused(mp4: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MOST_RATE", 0.05)
    with pytest.raises(MediaTooCostlyError):
        prepare_stretch(mp4, StretchOptions(video=OPTIONS, first=0, start_s=5, end_s=39))


@pytest.mark.parametrize("kind", KINDS)
def test_damage_costs_stretches_and_never_comes_as_a_surprise(kind: str) -> None:
    whole = media.clip(brightening(), kind=kind, rate=RATE, keyframe_every=15)
    torn = bytearray(whole)
    torn[len(torn) // 3 : len(torn) // 2] = bytes(len(torn) // 2 - len(torn) // 3)
    for start_s in (0, 15, 30):
        try:
            prepared = prepare_stretch(
                bytes(torn), StretchOptions(video=OPTIONS, first=0, start_s=start_s, end_s=start_s + 8)
            )
        except (UnreadableMediaError, NoFramesError):
            continue
        assert len(prepared.crops)
