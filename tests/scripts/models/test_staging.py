import shutil
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from bentos.cards import CropInput
from scripts.demo.catalogue import IMAGE_CNN
from scripts.models import history, publish
from scripts.models.errors import BusyError, ModelsError, RefusedError
from scripts.models.publish import read_golden
from scripts.models.repository import Repository
from scripts.models.staging import ASSIGNED, Candidate, stage
from scripts.stack.repository import problems
from scripts.stack.settings import CHECKOUT


@pytest.fixture
def repository(tmp_path):
    shutil.copytree(CHECKOUT / "model_repository", tmp_path / "models")
    return Repository(tmp_path / "models")


@pytest.fixture
def candidate(repository):
    inputs, outputs = read_golden(repository.root, "image_cnn", 1)
    return Candidate(
        card=msgspec.structs.replace(repository.card("image_cnn", 1), version=ASSIGNED, digest=""),
        weights=(repository.root / "image_cnn" / "1" / "model.onnx").read_bytes(),
        config=IMAGE_CNN,
        golden_inputs=inputs,
        golden_outputs=outputs,
        files={"notes.txt": b"Read me."},
    )


def everything(repository):
    files = (file for file in repository.root.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(repository.root)): file.read_bytes() for file in files}


def named(candidate, name):
    card = msgspec.structs.replace(candidate.card, model=name)
    return replace(candidate, card=card, config=replace(candidate.config, name=name))


def test_a_version_that_cannot_be_noted_in_the_history_is_not_kept(repository, candidate, monkeypatch):
    before = everything(repository)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(history, "append", full)
    for each in (candidate, named(candidate, "image_new")):
        with pytest.raises(ModelsError, match="nothing of it was kept"):
            stage(repository, each)
        assert everything(repository) == before


def test_a_staged_version_is_complete_and_gets_no_traffic(repository, candidate):
    table, listed = repository.table(), repository.listed("image_cnn")

    card = stage(repository, candidate, reason="a second look")

    assert (card.version, repository.versions("image_cnn")) == (2, (1, 2))
    assert repository.card("image_cnn", 2) == card
    assert (repository.root / "image_cnn" / "2" / "notes.txt").read_bytes() == b"Read me."
    assert set(card.files) == {"notes.txt"}
    assert (repository.table(), repository.listed("image_cnn")) == (table, listed)
    [event] = history.read(repository.root)
    assert (event.action, event.model, event.version, event.reason) == ("stage", "image_cnn", 2, "a second look")
    inputs, outputs = read_golden(repository.root, "image_cnn", 2)
    np.testing.assert_array_equal(inputs["crop"], candidate.golden_inputs["crop"])
    np.testing.assert_array_equal(outputs["p_fake"], candidate.golden_outputs["p_fake"])


def test_a_new_model_comes_with_its_configuration(repository, candidate):
    card = stage(repository, named(candidate, "vit_faces"))

    assert (card.version, repository.listed("vit_faces"), repository.route("vit_faces")) == (1, (1,), None)
    assert "vit_faces" in repository.models()
    assert problems(repository.root) == []


def test_a_dry_run_changes_nothing(repository, candidate):
    before = everything(repository)

    assert stage(repository, candidate, dry_run=True).version == 2
    assert stage(repository, named(candidate, "vit_faces"), dry_run=True).version == 1
    assert everything(repository) == before


def test_another_signature_is_another_model(repository, candidate):
    before = everything(repository)
    wide = [replace(IMAGE_CNN.inputs[0], shape=(256, 256, 3))]
    size = CropInput(height=256, width=256, resize_filter="area", margin=0.3)
    card = msgspec.structs.replace(candidate.card, input=size)

    with pytest.raises(RefusedError, match="--as"):
        stage(repository, replace(candidate, card=card, config=replace(IMAGE_CNN, inputs=wide)))
    assert everything(repository) == before


@pytest.mark.parametrize("name", ["image_cnn", "vit_faces"])
@pytest.mark.parametrize("written", ["card.json", "model.onnx"])
def test_a_full_disk_leaves_nothing_behind(repository, candidate, monkeypatch, name, written):
    before = everything(repository)
    write = publish.write_file

    def fill_up(path, data):
        if path.name == written:
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(publish, "write_file", fill_up)

    with pytest.raises(ModelsError, match="No space left"):
        stage(repository, named(candidate, name))
    assert everything(repository) == before


def test_a_number_is_never_given_twice(repository, candidate):
    stage(repository, candidate)
    shutil.rmtree(repository.root / "image_cnn" / "2")

    assert stage(repository, candidate).version == 3


def test_two_changes_never_overlap(repository):
    with repository.changing(), pytest.raises(BusyError), Repository(repository.root).changing(deadline_s=0.1):
        pytest.fail("the second one got in")
