"""`bonafide models import` as it is typed."""

import pytest
from typer.testing import CliRunner

from scripts.models.commands import models


def run(*words):
    answer = CliRunner().invoke(models, ["import", *map(str, words)])
    assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
    return answer


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere", "--as", "vit_faces"], "There is no nowhere"),
        (["nowhere", "--as", "ViT"], "small letters"),
        (["model.pkl", "--as", "vit_faces", "--trust-pickle"], "pickle"),
    ],
)
def test_nothing_is_written_for_what_cannot_be_brought(repository, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pkl").write_bytes(b"x")

    answer = run(*words)

    assert answer.exit_code == 1
    assert sentence in answer.stderr
    assert list(repository.root.iterdir()) == []


def test_a_repository_that_is_not_there_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("BONAFIDE_MODEL_REPOSITORY", str(tmp_path / "missing"))

    assert "BONAFIDE_MODEL_REPOSITORY" in run(tmp_path, "--as", "vit_faces").stderr
