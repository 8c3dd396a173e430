import numpy as np
import pytest

from bentos.errors import (
    EmptyMediaError,
    MediaError,
    MediaTooLongError,
    NoFramesError,
    TooManyPixelsError,
    UnreadableMediaError,
    UnsupportedMediaError,
)
from bentos.media import frames
from bentos.media.options import VideoOptions
from bentos.media.prepared import CropShape
from bentos.media.video import prepare_video
from tests.fixtures import media

SHAPE = CropShape(height=48, width=48, resize_filter="area", margin=0.3)
OPTIONS = VideoOptions(shape=SHAPE, frames=6, fewest_frames=6)


def codes(reasons) -> list[str]:
    return [reason.code for reason in reasons]


@pytest.fixture(scope="module")
def still_face() -> bytes:
    picture = media.with_faces(160, width=480, height=320)
    return media.clip(media.frames_of(picture, 30, step=2))


@pytest.mark.parametrize("kind", ["mp4", "mov", "avi", "matroska", "mpegts"])
def test_every_container_gives_frames_evenly_in_time(kind: str) -> None:
    data = media.clip(media.frames_of(media.with_faces(160, width=480, height=320), 30, step=2), kind=kind)
    prepared = prepare_video(data, OPTIONS)
    (track,) = prepared.tracks
    moments = [crop.time_s for crop in track]
    assert prepared.frames_sampled == prepared.faces_found == len(track) == 6
    assert prepared.crops.shape == (6, 48, 48, 3)
    assert prepared.crops.dtype == np.uint8
    assert prepared.duration_s == pytest.approx(3.0, abs=0.11)
    assert (prepared.width, prepared.height, prepared.codec) == (480, 320, "h264")
    assert moments == sorted(moments)
    assert all(abs(moment - (part + 0.5) * 0.5) <= 0.3 for part, moment in enumerate(moments))
    assert codes(prepared.reasons) == codes(prepared.unscored) == []
    assert [crop.index for crop in track] == list(range(6))


def test_a_path_is_as_good_as_bytes(still_face: bytes, tmp_path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(still_face)
    assert (prepare_video(path, OPTIONS).crops == prepare_video(still_face, OPTIONS).crops).all()


def test_crops_follow_the_face(still_face: bytes) -> None:
    (track,) = prepare_video(still_face, OPTIONS).tracks
    lefts = [crop.box.x for crop in track]
    assert lefts == sorted(lefts)
    assert lefts[-1] - lefts[0] == pytest.approx(2 * 10 * (track[-1].time_s - track[0].time_s), abs=12)
    assert all(crop.confidence > 0.8 for crop in track)


def test_frames_that_are_not_needed_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = media.clip(media.frames_of(media.scenery()[:200, :320], 200), keyframe_every=10)
    decoded = 0
    original = frames._frames

    def count(*arguments):
        nonlocal decoded
        for frame in original(*arguments):
            decoded += 1
            yield frame

    monkeypatch.setattr(frames, "_frames", count)
    prepared = prepare_video(data, OPTIONS)
    assert prepared.frames_sampled == 6
    assert decoded == 6


def test_two_faces_are_two_tracks_and_the_largest_comes_first() -> None:
    frames = media.frames_of(media.with_faces(130, 200, width=480, height=320), 20, step=1)
    prepared = prepare_video(media.clip(frames), OPTIONS)
    assert [len(track) for track in prepared.tracks] == [6, 6]
    assert prepared.tracks[0][0].box.width > prepared.tracks[1][0].box.width
    assert sorted(crop.index for track in prepared.tracks for crop in track) == list(range(12))
    one = prepare_video(media.clip(media.frames_of(media.with_faces(130, 200, width=480, height=320), 20, step=1)),
                        VideoOptions(shape=SHAPE, frames=6, most_tracks=1))  # fmt: skip
    assert len(one.tracks) == 1
    assert len(one.crops) == 6


def test_without_a_face_the_middle_is_one_track() -> None:
    prepared = prepare_video(media.clip(media.frames_of(media.scenery(), 20)), OPTIONS)
    (track,) = prepared.tracks
    assert len(track) == 6
    assert {crop.confidence for crop in track} == {0}
    assert {(crop.box.x, crop.box.width) for crop in track} == {(100, 400)}
    assert codes(prepared.reasons) == ["no_face_found"]


def test_a_turned_video_is_upright() -> None:
    lying = np.rot90(media.with_faces(200, width=480, height=320))
    prepared = prepare_video(media.turned(media.clip(media.frames_of(lying, 8, step=0))), OPTIONS)
    assert (prepared.width, prepared.height) == (480, 320)
    assert prepared.faces_found == 6


def test_a_clip_with_few_frames_says_so() -> None:
    prepared = prepare_video(media.clip(media.frames_of(media.portrait(), 3)), OPTIONS)
    assert prepared.frames_sampled == 3
    assert codes(prepared.reasons) == ["clip_too_short"]
    patient = prepare_video(media.clip(media.frames_of(media.portrait(), 3)), VideoOptions(shape=SHAPE, frames=6))
    assert codes(patient.reasons) == []


def test_a_broken_part_leaves_the_rest(still_face: bytes) -> None:
    damaged = bytearray(still_face)
    start = damaged.index(b"mdat") + 4
    size = len(damaged) - start
    damaged[start + size // 3 : start + size // 2] = bytes(size // 2 - size // 3)
    prepared = prepare_video(bytes(damaged), OPTIONS)
    assert 0 < prepared.frames_sampled <= 6
    assert prepared.frames_sampled == 6 or "frames_unreadable" in codes(prepared.unscored)


def test_a_truncated_file_with_its_index_first_is_judged_in_part() -> None:
    data = media.clip(media.frames_of(media.with_faces(160, width=480, height=320), 40, step=2), index_first=True)
    prepared = prepare_video(data[: len(data) // 2], OPTIONS)
    assert prepared.frames_sampled > 0
    assert prepared.duration_s < 3.5
    assert "file_truncated" in codes(prepared.unscored)


def test_a_truncated_file_with_its_index_last_is_unreadable(still_face: bytes) -> None:
    with pytest.raises(UnreadableMediaError):
        prepare_video(still_face[: len(still_face) // 2], OPTIONS)


@pytest.mark.parametrize("kind", ["avi", "matroska", "mpegts"])
def test_other_truncated_files_are_judged_in_part(kind: str) -> None:
    data = media.clip(media.frames_of(media.portrait(), 30), kind=kind)
    prepared = prepare_video(data[: len(data) * 2 // 3], OPTIONS)
    assert prepared.frames_sampled > 0
    assert prepared.duration_s < 2.7


def test_a_video_without_frames_has_no_frames() -> None:
    with pytest.raises(NoFramesError):
        prepare_video(media.empty_clip(), OPTIONS)


def test_a_sound_in_a_video_container_has_no_frames() -> None:
    with pytest.raises(NoFramesError):
        prepare_video(media.sound(media.tone(0.5), kind="mp4"), OPTIONS)


PLAYLISTS = [
    b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    b"<?xml version='1.0'?><MPD><Period/></MPD>",
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
]


@pytest.mark.parametrize("data", [b"This is no video. " * 50, *PLAYLISTS, b"\0" * 4096])
def test_text_and_playlists_are_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedMediaError):
        prepare_video(data, OPTIONS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_a_picture_is_no_video(kind: str) -> None:
    with pytest.raises(UnsupportedMediaError):
        prepare_video(media.encoded(media.portrait(), kind), OPTIONS)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_a_sound_file_is_no_video(kind: str) -> None:
    with pytest.raises(UnsupportedMediaError):
        prepare_video(media.sound(media.tone(0.5), kind=kind), OPTIONS)


def test_an_empty_file_is_said_to_be_empty(tmp_path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(EmptyMediaError):
        prepare_video(b"", OPTIONS)
    with pytest.raises(EmptyMediaError):
        prepare_video(tmp_path / "empty", OPTIONS)


def test_too_long_and_too_large_are_refused(still_face: bytes) -> None:
    with pytest.raises(MediaTooLongError):
        prepare_video(still_face, VideoOptions(shape=SHAPE, max_seconds=2))
    with pytest.raises(TooManyPixelsError):
        prepare_video(still_face, VideoOptions(shape=SHAPE, max_pixels=480 * 320 - 1))


def test_damage_anywhere_is_decoded_or_refused_but_never_unforeseen(still_face: bytes) -> None:
    rng = np.random.default_rng(5)
    outcomes: set[str] = set()
    for _ in range(25):
        damaged = bytearray(still_face)
        for position in rng.integers(0, len(damaged), 40):
            damaged[position] = rng.integers(256)
        try:
            prepare_video(bytes(damaged), OPTIONS)
            outcomes.add("decoded")
        except MediaError as error:
            outcomes.add(error.code)
    assert "decoded" in outcomes
