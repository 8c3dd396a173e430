"""What the commands that read say of a repository, and what a default may be."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from bentos.contract import Modality
from scripts.chaos.variants import stage_shifted
from scripts.models import history
from scripts.models.commands import models
from scripts.models.differing import differences
from scripts.models.errors import RefusedError
from scripts.models.repository import Repository
from scripts.models.retiring import name_default
from scripts.stack.settings import CHECKOUT


@pytest.fixture
def repository(tmp_path, monkeypatch):
    shutil.copytree(CHECKOUT / "model_repository", tmp_path / "models")
    monkeypatch.setenv("BONAFIDE_MODEL_REPOSITORY", str(tmp_path / "models"))
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    return Repository(tmp_path / "models")


def run(*words: str) -> str:
    result = CliRunner().invoke(models, words, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_listing_says_what_each_version_is_asked_for(repository):
    stage_shifted(repository, 1.0)
    listing = json.loads(run("list", "--json"))
    roles = {f"{row['model']}:{row['version']}": row["roles"] for row in listing["versions"]}
    assert roles["image_cnn:1"] == ["stable"]
    assert roles["image_cnn:2"] == []
    assert roles["video_encoder:1"] == ["pinned by video_lstm"]
    assert listing["defaults"]["image"] == "image_cnn"


@pytest.mark.parametrize("words", [("list",), ("history",), ("diff", "image_cnn:1", "image_cnn:2")])
def test_tables_keep_to_eighty_columns(repository, words):
    stage_shifted(repository, 1.0)
    assert max(len(line) for line in run(*words).splitlines()) <= 80


def test_a_broken_card_is_told_of_in_its_row(repository):
    (repository.root / "video_lstm" / "1" / "card.json").write_text("{")
    rows = {row["model"]: row for row in json.loads(run("list", "--json"))["versions"]}
    assert "is broken" in rows["video_lstm"]["problem"]
    assert rows["image_cnn"]["problem"] == ""


def test_versions_differ_in_their_cards_and_in_their_golden_answers(repository):
    stage_shifted(repository, 1.0)
    found = differences(repository, ("image_cnn", 1), ("image_cnn", 2))
    assert {"version", "digest", "derived_from"} <= {each.field for each in found.card}
    assert found.golden is not None
    assert found.golden.largest == pytest.approx(0.25, abs=0.05)
    assert differences(repository, ("image_cnn", 1), ("video_lstm", 1)).golden is None


def test_a_default_is_a_model_with_traffic_that_judges_such_media(repository):
    assert name_default(repository, Modality.VIDEO, "image_cnn", reason="no faces move").before == "video_lstm"
    assert repository.table().defaults[Modality.VIDEO] == "image_cnn"
    event = history.read(repository.root)[-1]
    assert (event.action, event.model, event.details["instead_of"]) == ("default", "image_cnn", "video_lstm")
    with pytest.raises(RefusedError, match="judges image"):
        name_default(repository, Modality.AUDIO, "image_cnn")
    with pytest.raises(RefusedError, match="gets no traffic"):
        name_default(repository, Modality.IMAGE, "video_encoder")


def test_a_default_is_only_said_in_a_dry_run(repository):
    before = (repository.root / "serving.json").read_bytes()
    name_default(repository, Modality.VIDEO, "image_cnn", dry_run=True)
    assert (repository.root / "serving.json").read_bytes() == before
    assert history.read(repository.root) == ()
