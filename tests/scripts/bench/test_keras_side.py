import pytest

from scripts.bench.clips import make_clip, make_sound
from scripts.bench.keras_side import ServerFailedError, keras_server
from scripts.bench.media import NoVerdictError, send
from scripts.bench.photographs import encode_photographs


@pytest.mark.integration
def test_comparison_server_judges_every_kind_of_medium(tmp_path):
    picture, clip, sound = tmp_path / "picture.jpg", tmp_path / "clip.mp4", tmp_path / "sound.mp3"
    picture.write_bytes(encode_photographs(1, 7, lambda _jpeg: 1)[0])
    make_clip(clip, seconds=1.05, seed=1)
    make_sound(sound, seconds=5, seed=1)

    with keras_server(tmp_path / "log", picture) as server:
        answers = {
            path: send(f"{server.url}/{path}", file, {}, verdict="prediction")[1]
            for path, file in (("predict_image", picture), ("predict_video", clip), ("predict_audio", sound))
        }
        with pytest.raises(NoVerdictError, match="400"):
            send(f"{server.url}/predict_image", sound, {}, verdict="prediction")

    assert [answer["scores"] for answer in answers.values()] == [1, 2, 4]
    assert {answer["prediction"] for answer in answers.values()} <= {"REAL", "FAKE"}


@pytest.mark.integration
def test_a_server_that_does_not_start_is_an_error_that_names_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.bench.keras_side.APP", "scripts.bench.no_such_server:create_app")

    with pytest.raises(ServerFailedError, match="log"), keras_server(tmp_path / "log", tmp_path / "unused.jpg"):
        pass
