import csv
import json
import shutil

import pytest
from typer.testing import CliRunner

from scripts.models import history
from scripts.models.commands import models
from scripts.models.publish import digest_of
from scripts.models.repository import Repository
from scripts.models.validation import validate
from scripts.stack.settings import CHECKOUT, load_settings

pytestmark = pytest.mark.integration


@pytest.fixture
def repository(tmp_path, monkeypatch):
    shutil.copytree(CHECKOUT / "model_repository", tmp_path / "models")
    monkeypatch.setenv("BONAFIDE_MODEL_REPOSITORY", str(tmp_path / "models"))
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    return Repository(tmp_path / "models")


def run(*words):
    """Run a command; return its exit status and the JSON that it prints."""
    result = CliRunner().invoke(models, [*map(str, words), "--json"])
    assert result.stdout, result.exception
    return result.exit_code, json.loads(result.stdout)


def everything(repository):
    files = (file for file in repository.root.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(repository.root)): file.read_bytes() for file in files}


def test_a_version_is_measured_calibrated_and_compared(repository, labelled_faces, tmp_path):
    weights = (repository.root / "image_cnn" / "1" / "model.onnx").read_bytes()

    status, found = run("evaluate", "image_cnn", "--data", labelled_faces)

    report = found["report"]
    assert (status, report["set"]["name"], report["set"]["real"], report["set"]["fake"]) == (0, "faces", 24, 24)
    assert [each["name"] for each in report["unjudged"]] == ["real/notes.jpg"]
    assert 0.5 < report["figures"]["auc"]["low"] < report["figures"]["auc"]["value"] < 1
    assert {part["column"] for part in report["slices"]} >= {"format", "size", "face", "folder"}
    assert sum(report["confusion"]["real"]) == sum(report["confusion"]["fake"]) == 24
    assert report["speed"]["media_per_s"] > 0
    [folder] = (repository.root / "image_cnn" / "1" / "evaluation").iterdir()
    assert found["folder"] == str(folder)
    assert {file.name for file in folder.iterdir()} >= {"report.json", "report.md", "scores.csv", "roc.svg", "det.svg"}
    assert json.loads((folder / "report.json").read_text()) == report
    with (folder / "scores.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 48
    card = repository.card("image_cnn", 1)
    assert (card.metrics.set, card.metrics.n, card.metrics.auc) == ("faces", 48, report["figures"]["auc"]["value"])
    assert card.digest == digest_of(weights)
    assert [event.action for event in history.read(repository.root)] == ["evaluate"]

    status, calibrated = run("calibrate", "image_cnn:1", "--data", labelled_faces, "--max-fpr", "0.1")

    assert (status, calibrated["version"], calibrated["fitted"]) == (0, 2, 24)
    assert calibrated["factor"] > 1.2
    assert calibrated["figures_after"]["auc"] == calibrated["figures_before"]["auc"]
    staged = repository.card("image_cnn", 2)
    assert staged.derived_from == 1
    assert staged.calibration.temperature == calibrated["temperature"]
    assert (staged.thresholds.low, staged.thresholds.high) == (calibrated["after"]["low"], calibrated["after"]["high"])
    assert staged.metrics.n == 24
    assert (repository.route("image_cnn").stable, repository.listed("image_cnn")) == (1, (1,))
    assert [event.action for event in history.read(repository.root)] == ["evaluate", "stage", "calibrate"]
    # Its golden answers are those of the new graph, and neither Triton nor its card minds the folder of reports.
    assert validate(repository, "image_cnn", 2, load_settings({})).failures == ()

    status, compared = run("compare", "image_cnn:1", "image_cnn:2", "--data", labelled_faces, "--out", tmp_path / "out")

    assert status == 0
    assert (compared["first"]["version"], compared["second"]["version"]) == (1, 2)
    # A temperature changes no order, and verdicts only where thresholds changed.
    assert compared["first"]["auc"] == compared["second"]["auc"]
    assert compared["differences"]["auc"] == {"value": 0, "low": 0, "high": 0}
    assert compared["same_verdict"] + len(compared["flips"]) == 48
    assert compared["second"]["right"] - compared["first"]["right"] == compared["only_second"] - compared["only_first"]
    [written] = (tmp_path / "out").iterdir()
    assert {file.name for file in written.iterdir()} == {"comparison.json", "comparison.md"}


def test_a_report_elsewhere_leaves_the_repository_alone(repository, tmp_path):
    media = CHECKOUT / "scripts" / "demo" / "media"
    (tmp_path / "clips.csv").write_text(
        f"path,label,source\n{media / 'genuine.wav'},real,voice\n{media / 'forged.wav'},fake,vocoder\ngone.wav,real,-\n"
    )
    before = everything(repository)

    status, found = run("evaluate", "audio_transformer", "--data", tmp_path / "clips.csv", "--out", tmp_path / "out")

    assert (status, everything(repository)) == (0, before)
    assert (found["report"]["set"]["real"], found["report"]["set"]["fake"]) == (1, 1)
    assert [(each["name"], each["code"]) for each in found["report"]["unjudged"]] == [("gone.wav", "unreadable_file")]
    assert {"source", "length", "sample rate"} <= {part["column"] for part in found["report"]["slices"]}
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("evaluate", "video_encoder:1"), "gives no verdicts"),
        (("compare", "image_cnn:1", "image_cnn:1"), "the same as itself"),
        (("compare", "image_cnn:1", "video_lstm:1"), "different media"),
        (("evaluate", "image_cnn:9"), "no version 9"),
        (("evaluate", "nothing"), "no model nothing"),
    ],
    ids=["encoder", "itself", "modalities", "version", "model"],
)
def test_what_cannot_be_measured_is_told(repository, labelled_faces, words, sentence):
    before = everything(repository)

    status, found = run(*words, "--data", labelled_faces)

    assert status == 1
    assert sentence in found["error"]["message"]
    assert everything(repository) == before


def test_too_few_media_calibrate_nothing(repository, tmp_path, labelled_faces):
    for label in ("real", "fake"):
        shutil.copytree(labelled_faces / label / "soft", tmp_path / "few" / label)
    before = everything(repository)

    status, found = run("calibrate", "image_cnn", "--data", tmp_path / "few")

    assert (status, everything(repository)) == (1, before)
    assert "at least 20 of each class" in found["error"]["message"]
