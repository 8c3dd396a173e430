"""What the commands on models work on: an empty repository of a test's own, which the environment names."""

import pytest

from scripts.models.repository import Repository


@pytest.fixture
def repository(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("BONAFIDE_MODEL_REPOSITORY", str(tmp_path / "models"))
    monkeypatch.setenv("COLUMNS", "250")
    return Repository(tmp_path / "models")
