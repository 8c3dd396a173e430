"""Folders of picture classifiers that are refused, each with a sentence, and nothing is changed."""

import json

import numpy as np
import psutil
import pytest
import torch
from safetensors.numpy import load_file, save_file

from bentos.contract import Modality
from scripts.models.errors import RefusedError

pytestmark = pytest.mark.integration


def change(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


class Trap:
    """What a pickle that runs code looks like."""

    def __reduce__(self):
        return (open, ("trapped", "w"))


def test_even_a_trusted_pickle_runs_no_code(refused, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    torch.save({"vit.layernorm.weight": Trap()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()

    refused("cannot load", folder, error=RefusedError, trust_pickle=True)
    assert not (tmp_path / "trapped").exists()


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def cut_off(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def garbled(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 1000)


def headless(folder):
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("classifier")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def other_shape(folder):
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"] = np.zeros((2, 7), np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def shard_missing(folder):
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"classifier.weight": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def no_processor(folder):
    (folder / "preprocessor_config.json").unlink()


def broken_config(folder):
    (folder / "config.json").write_text("{")


def no_config(folder):
    (folder / "config.json").unlink()


def config_with(**changes):
    return lambda folder: change(folder / "config.json", **changes)


def processor_with(**changes):
    return lambda folder: change(folder / "preprocessor_config.json", **changes)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        pytest.param(no_weights, "no model.safetensors", id="no weights"),
        pytest.param(cut_off, "damaged", id="cut off"),
        pytest.param(garbled, "damaged", id="garbled"),
        pytest.param(headless, "classifier.*random", id="no head"),
        pytest.param(other_shape, "Fetch the folder again|random", id="another shape"),
        pytest.param(shard_missing, "model-00001-of-00001.safetensors", id="a shard is missing"),
        pytest.param(no_config, "no config.json", id="no configuration"),
        pytest.param(broken_config, "cannot be read", id="broken configuration"),
        pytest.param(config_with(auto_map={"AutoModel": "x.Y"}), "auto_map", id="code of its own"),
        pytest.param(config_with(architectures=["ViTForMaskedImageModeling"]), "no classifier", id="no classifier"),
        pytest.param(config_with(architectures=["TorpedoForImageClassification"]), "no classifier", id="unknown class"),
        pytest.param(config_with(architectures=None), "names no architecture", id="no class"),
        pytest.param(config_with(model_type="torpedo"), "cannot load", id="unknown type"),
        pytest.param(config_with(problem_type="multi_label_classification"), "exclude each other", id="multi-label"),
        pytest.param(config_with(id2label={"0": "cat", "1": "dog"}), "--fake-label", id="unclear labels"),
        pytest.param(config_with(id2label="Fake"), "id2label", id="labels are no table"),
        pytest.param(no_processor, "preprocessor_config.json", id="no processor"),
        pytest.param(processor_with(resample=9), "resample|processor", id="unknown filter"),
        pytest.param(processor_with(image_std=[0.5, 0.5]), "cannot prepare", id="two deviations"),
        pytest.param(processor_with(image_processor_type="NoSuchProcessor"), "cannot be used", id="unknown processor"),
        pytest.param(processor_with(auto_map={"AutoImageProcessor": "x.Y"}), "auto_map", id="code of the processor"),
        pytest.param(processor_with(size={"height": 48, "width": 48}), "cannot take an input", id="another size"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(refused, folder, spoil, sentence):
    spoil(folder)

    refused(sentence, folder, error=RefusedError)


def test_a_wished_modality_has_to_be_that_of_the_source(refused, folder):
    refused("judges image, not audio", folder, error=RefusedError, modality=Modality.AUDIO)


def test_too_little_memory_is_said_before_anything_is_loaded(refused, folder, monkeypatch):
    memory = psutil.virtual_memory()._replace(available=100_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)

    refused("GB are free", folder)


def test_memory_that_runs_out_half_way_is_told(refused, folder, monkeypatch):
    def full(*_args, **_options):
        raise MemoryError

    monkeypatch.setattr("scripts.models.importing.image_classifiers.convert", full)

    refused("not enough memory", folder)
