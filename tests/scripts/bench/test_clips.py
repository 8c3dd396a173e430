import av
import pytest

from scripts.bench.clips import make_clip, make_sound, pad_mp4


def test_clip_is_1080p_h264_and_still_plays_when_padded(tmp_path):
    clip, padded = tmp_path / "clip.mp4", tmp_path / "padded.mp4"

    make_clip(clip, seconds=0.2, seed=1)
    pad_mp4(clip, padded, 3_000_000)

    assert padded.stat().st_size == 3_000_000
    with av.open(str(padded)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.width, video.height) == ("h264", 1920, 1080)
        assert sum(1 for _ in container.decode(video)) == 6


def test_padding_does_not_cut(tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(bytes(100))

    with pytest.raises(ValueError, match="more than 110"):
        pad_mp4(clip, tmp_path / "padded.mp4", 110)


def test_sound_has_its_length(tmp_path):
    sound = tmp_path / "sound.mp3"

    make_sound(sound, seconds=2, seed=1)

    with av.open(str(sound)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.sample_rate, stream.codec_context.channels) == (44_100, 2)
        assert sum(frame.samples for frame in container.decode(stream)) == pytest.approx(2 * 44_100, abs=3_000)
