"""Settings that are tried on a second Triton, and what is made of the trials."""

import shutil

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from scripts.cli import app
from scripts.models import history, optimising
from scripts.models.errors import RefusedError
from scripts.models.optimising import optimise
from scripts.models.optimising_report import sentence
from scripts.models.repository import Repository
from scripts.models.trials import Optimised, Wish
from scripts.models.tuning import read_tuning
from scripts.stack.settings import CHECKOUT, load_settings

SETTINGS = load_settings({})
MODEL = "audio_transformer"


@pytest.fixture
def repository(tmp_path):
    shutil.copytree(CHECKOUT / "model_repository", tmp_path / "models")
    return Repository(tmp_path / "models")


@pytest.mark.integration
def test_the_command_tries_settings_and_writes_what_it_found(repository, monkeypatch):
    monkeypatch.setenv("BONAFIDE_MODEL_REPOSITORY", str(repository.root))
    monkeypatch.setattr(optimising, "WINDOW_S", 0.8)
    monkeypatch.setattr(optimising, "WARMUP_S", 0.1)
    monkeypatch.setattr(optimising, "ROUNDS", 1)
    config = repository.root / MODEL / "config.pbtxt"
    before = config.read_bytes()
    arguments = ["models", "optimise", MODEL, "--p95-ms", "60000", "--callers", "2", "--budget", "12", "--json"]

    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 0, result.output
    found = msgspec.json.decode(result.stdout.splitlines()[-1], type=Optimised)
    assert len(found.trials) >= 2
    assert found.before.throughput > 0
    assert all(each.failed == 0 for each in found.trials)
    assert found.trials[0].tuning == read_tuning(before)
    now = found.best.tuning if found.best else read_tuning(before)
    assert read_tuning(config.read_bytes()) == now
    assert (repository.root / MODEL / "optimised.md").read_text().count("| fp32 |") == len(found.trials)
    [event] = history.read(repository.root)
    assert (event.action, event.model, event.version) == ("optimise", MODEL, 1)


@pytest.mark.integration
@pytest.mark.parametrize("model", [MODEL, "text_transformer"])
def test_ctrl_c_leaves_the_best_so_far(repository, monkeypatch, model):
    monkeypatch.setattr(optimising, "WINDOW_S", 0.3)
    told = []

    def tell(text):
        told.append(text)
        if "p95" in text:
            raise KeyboardInterrupt

    found = optimise(repository, Wish(model=model, version=1, p95_ms=60_000, callers=1), SETTINGS, tell=tell)

    assert (len(found.trials), found.complete) == (1, False)
    assert (found.before.failed, found.before.throughput > 0) == (0, True)
    assert "stopped" in told[-1]
    assert "stopped before everything was tried" in sentence(found)


@pytest.mark.integration
def test_what_answers_no_call_is_told_with_its_words(repository, monkeypatch):
    monkeypatch.setattr(optimising, "WINDOW_S", 0.3)
    golden = repository.root / "image_cnn" / "golden" / "inputs.npz"
    np.savez(golden, crop=np.zeros((1, 8, 8, 3), np.uint8))

    with pytest.raises(RefusedError, match="image_cnn:1 answers none of the calls that try it: The model"):
        optimise(repository, Wish(model="image_cnn", version=1, p95_ms=60_000, callers=1), SETTINGS)
