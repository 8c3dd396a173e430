import json
import shutil
from pathlib import Path

import pytest

from scripts.stack.repository import RepositoryError, problems, served
from scripts.stack.settings import CHECKOUT


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHECKOUT / "model_repository", tmp_path / "models"))


def change(file: Path, **fields: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_the_repository_of_the_project_holds_together() -> None:
    assert problems(CHECKOUT / "model_repository") == []


def test_what_gets_traffic_is_served_with_the_encoder_that_it_is_pinned_to(repository: Path) -> None:
    route = {"stable": 1, "canary": None, "shadow": None}
    change(repository / "serving.json", defaults={"video": "video_lstm"}, models={"video_lstm": route})

    assert served(repository) == {"video_encoder": (1,), "video_lstm": (1,)}


def test_canary_and_shadow_are_served(repository: Path) -> None:
    for version in ("2", "3"):
        shutil.copytree(repository / "image_cnn" / "1", repository / "image_cnn" / version)
    route = {"stable": 1, "canary": {"version": 3, "percent": 5}, "shadow": 2}
    change(repository / "serving.json", defaults={"image": "image_cnn"}, models={"image_cnn": route})

    assert served(repository) == {"image_cnn": (1, 2, 3)}
    assert any(
        "card of image_cnn version 2 is that of image_cnn version 1" in problem for problem in problems(repository)
    )


def test_other_weights_than_the_card_names_are_a_problem(repository: Path) -> None:
    with (repository / "image_cnn" / "1" / "model.onnx").open("ab") as weights:
        weights.write(b"more")

    assert problems(repository) == ["The weights of image_cnn version 1 are not those that its card names."]


def test_another_encoder_than_the_head_was_trained_on_is_a_problem(repository: Path) -> None:
    pinned = {"model": "video_encoder", "version": 1, "digest": "sha256:other"}
    change(repository / "video_lstm" / "1" / "card.json", encoder=pinned)

    assert problems(repository) == ["video_lstm version 1 was trained on another video_encoder."]


def test_a_broken_table_is_told_with_its_place(repository: Path) -> None:
    (repository / "serving.json").write_text("{")

    with pytest.raises(RepositoryError, match=r"serving\.json is broken"):
        served(repository)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "none")

    assert "cannot be read: No such file or directory" in problem
