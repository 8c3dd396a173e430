"""Two commands at once on one model: the second does what was meant when it was typed, or nothing."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from bentos.cards import Canary, Route
from scripts.chaos.variants import stage_shifted
from scripts.cli import app
from scripts.models.commands import rolling
from scripts.models.errors import ModelsError
from scripts.models.repository import Repository
from scripts.stack.settings import CHECKOUT

FORMER, STABLE, CANARY = 1, 2, 3


@pytest.fixture
def repository(tmp_path, monkeypatch):
    shutil.copytree(CHECKOUT / "model_repository", tmp_path / "models")
    monkeypatch.setenv("BONAFIDE_MODEL_REPOSITORY", str(tmp_path / "models"))
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    # Nothing of the platform runs here.
    for modality in ("IMAGE", "VIDEO", "AUDIO", "TEXT"):
        monkeypatch.setenv(f"BONAFIDE_{modality}_BENTO_URL", "http://127.0.0.1:9")
    here = Repository(tmp_path / "models")
    for shift in (0.5, 1.0):
        stage_shifted(here, shift)
    return here


@pytest.mark.parametrize(
    ("before", "meanwhile"),
    [
        pytest.param(
            Route(stable=STABLE, previous=FORMER, canary=Canary(version=CANARY, percent=5)),
            Route(stable=STABLE, previous=FORMER),
            id="the-canary-was-dropped-already",
        ),
        pytest.param(
            Route(stable=STABLE, previous=FORMER), Route(stable=FORMER, previous=STABLE), id="it-is-back-already"
        ),
    ],
)
def test_of_two_rollbacks_at_once_the_second_goes_no_further(repository, monkeypatch, before, meanwhile):
    repository.write_route("image_cnn", before)
    run = rolling.run

    def late(change):
        repository.write_route("image_cnn", meanwhile)
        return run(change)

    monkeypatch.setattr(rolling, "run", late)
    ended = CliRunner().invoke(app, ["models", "rollback", "image_cnn", "--json"])
    assert (ended.exit_code, json.loads(ended.stdout)["error"]["code"]) == (1, "refused")
    assert repository.route("image_cnn") == meanwhile


def test_a_rollback_to_a_version_whose_files_are_gone_is_refused(repository):
    before = Route(stable=STABLE, previous=FORMER)
    repository.write_route("image_cnn", before)
    shutil.rmtree(repository.folder("image_cnn", FORMER))
    ended = CliRunner().invoke(app, ["models", "rollback", "image_cnn", "--json"])
    assert (ended.exit_code, json.loads(ended.stdout)["error"]["code"]) == (1, "unknown_version")
    assert repository.route("image_cnn") == before


def test_a_configuration_that_is_none_is_told_and_stops_no_rollback(repository):
    repository.write_route("image_cnn", Route(stable=STABLE, previous=FORMER))
    (repository.root / "image_cnn" / "config.pbtxt").write_text("garbage {")
    with pytest.raises(ModelsError, match=r"config\.pbtxt is no configuration"):
        repository.listed("image_cnn")
    ended = CliRunner().invoke(app, ["models", "rollback", "image_cnn", "--json"])
    assert ended.exit_code == 0, ended.output
    settled = json.loads(ended.stdout)["settled"]
    assert (settled["clear"], "image_cnn" in settled["notes"][-1]) == (False, True)
    assert repository.route("image_cnn") == Route(stable=FORMER, previous=STABLE)


def test_a_rollback_needs_nothing_that_runs(repository):
    repository.write_route("image_cnn", Route(stable=STABLE, previous=FORMER))
    ended = CliRunner().invoke(app, ["models", "rollback", "image_cnn", "--json", "--reason", "it errs"])
    assert ended.exit_code == 0, ended.output
    assert repository.route("image_cnn") == Route(stable=FORMER, previous=STABLE)
