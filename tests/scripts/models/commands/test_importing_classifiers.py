"""`bonafide models import` as it is typed, for a classifier of transformers."""

import json

import pytest
from typer.testing import CliRunner

from scripts.models.commands import models
from tests.fixtures.image_models import save_image_model

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return save_image_model(tmp_path_factory.mktemp("sources") / "vit", "vit", labels=("LABEL_0", "LABEL_1"))


def run(*words):
    answer = CliRunner().invoke(models, ["import", *map(str, words)])
    assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
    return answer


def test_a_model_is_brought_and_said_what_it_is(repository, vit):
    answer = run(vit, "--as", "vit_faces", "--fake-label", "LABEL_1", "--licence", "MIT", "--reason", "a try")

    assert answer.exit_code == 0
    assert "Staged vit_faces:1 (" in answer.stdout
    assert "parity" in answer.stdout
    assert "bonafide models validate vit_faces:1" in answer.stdout
    assert "loading ViTForImageClassification" in answer.stderr
    assert repository.card("vit_faces", 1).licence == "MIT"

    answer = run(vit, "--as", "vit_faces", "--fake-label", "0", "--dry-run", "--json")

    report = json.loads(answer.stdout)
    assert (report["dry_run"], report["versions"][0]["version"]) == (True, 2)
    assert report["versions"][0]["label_order"] == ["LABEL_0", "LABEL_1"]
    assert repository.versions("vit_faces") == (1,)


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("as_json", [True, False])
def test_what_is_wrong_is_a_sentence_and_a_status(vit, as_json):
    answer = run(vit, "--as", "vit_faces", *(["--json"] if as_json else []))

    assert answer.exit_code == 1
    if as_json:
        error = json.loads(answer.stdout)["error"]
        assert error["code"] == "refused"
        assert "--fake-label" in error["message"]
    else:
        assert answer.stderr.splitlines()[-1].startswith("error: It is unclear which of the labels")
