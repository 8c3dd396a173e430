"""Classifiers of pictures: each class that is published, as a small model of that class that was saved to disk."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from transformers import AutoImageProcessor, AutoModelForImageClassification

from bentos.cards import TrafficTable
from bentos.contract import Modality
from bentos.media.crops import centre_square, cut
from bentos.media.prepared import CropShape
from scripts.demo.photographs import load_photograph
from scripts.models.errors import RefusedError
from scripts.models.publish import read_golden, write_traffic
from scripts.models.session import run_graph
from scripts.stack.repository import problems
from tests.fixtures.hub import COMMIT
from tests.fixtures.image_models import KINDS, save_image_model

pytestmark = pytest.mark.integration

# Pictures that the check of an import does not look at.
UNSEEN = ("retina.jpg", "ihc.png", "coins.png", "brick.png")


def everything(repository):
    files = (file for file in repository.root.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(repository.root)): file.read_bytes() for file in files}


def original(folder, picture, fake):
    """What a program that follows the documentation of transformers gets for a square picture."""
    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(**processor(picture, return_tensors="pt")).logits
    if logits.shape[1] == 1:
        return torch.sigmoid(logits if fake == 1 else -logits).item()
    return torch.softmax(logits, dim=-1)[0, fake].sum().item()


def compare(repository, folder, fake):
    """The staged graph's scores and the original's, of pictures that are cut and resized as the card says."""
    card = repository.card("faces", 1)
    shape = CropShape(
        height=card.input.height, width=card.input.width, resize_filter=card.input.resize_filter, margin=0
    )
    weights = (repository.root / "faces" / "1" / "model.onnx").read_bytes()
    ours, theirs = [], []
    for name in UNSEEN:
        picture = load_photograph(name)
        box = centre_square(picture.shape[1], picture.shape[0])
        square = picture[box.y : box.y + box.height, box.x : box.x + box.width]
        ours.append(run_graph(weights, {"crop": cut(picture, [box], shape)})["p_fake"].item())
        theirs.append(original(folder, Image.fromarray(square), fake))
    return np.asarray(ours), np.asarray(theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_each_class_answers_as_its_original_prepared_by_its_own_processor(repository, bring, tmp_path, kind):
    folder = save_image_model(tmp_path / kind, kind)

    imported = bring(folder)

    card = repository.card("faces", 1)
    assert card == imported.card
    assert (card.modality, card.label_order, card.calibration.method) == (Modality.IMAGE, ("Real", "Fake"), "none")
    assert (card.thresholds.low, card.thresholds.high, card.metrics) == (0.4, 0.6, None)
    assert card.parity.n >= 10
    assert card.parity.largest <= 1e-5
    if kind == "resnet":
        # Its processor cuts an eighth away, which the margin decides here.
        assert "resizes to 73 and cuts the middle out" in " ".join(imported.notes)
        return
    ours, theirs = compare(repository, folder, [1])
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.ptp(ours) > 1e-3


def test_what_is_staged_is_a_whole_model_without_traffic(repository, bring, folder, tmp_path):
    write_traffic(repository.root, TrafficTable(defaults={}, models={}))
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\ntags: [vision]\n---\n# A model\n")
    samples, steps = tmp_path / "samples", []
    (samples / "more").mkdir(parents=True)
    for index, name in enumerate(UNSEEN):
        Image.fromarray(load_photograph(name)).save(samples / "more" / f"{index}.jpg")
    (samples / "notes.txt").write_text("no picture")

    first = bring(folder, samples=samples, tell=steps.append).card

    assert problems(repository.root) == []
    assert (repository.versions("faces"), repository.listed("faces"), repository.route("faces")) == ((1,), (1,), None)
    assert first.licence == "cc-by-4.0"
    assert "ViTForImageClassification" in first.source
    assert str(tmp_path) not in first.source
    assert [step.split()[0] for step in steps] == ["loading", "asking", "converting", "comparing", "staging"]
    inputs, outputs = read_golden(repository.root, "faces", 1)
    assert inputs["crop"].shape == (4, 32, 32, 3)
    weights = (repository.root / "faces" / "1" / "model.onnx").read_bytes()
    np.testing.assert_allclose(run_graph(weights, inputs)["p_fake"], outputs["p_fake"], atol=1e-6)

    # A second version answers the golden inputs of the first; here it means the opposite.
    second = bring(folder, fake_labels=("Real",)).card

    assert (second.version, repository.versions("faces"), repository.listed("faces")) == (2, (1, 2), (1,))
    assert first.parity.n >= second.parity.n + len(UNSEEN)
    kept, answers = read_golden(repository.root, "faces", 2)
    np.testing.assert_array_equal(kept["crop"], inputs["crop"])
    np.testing.assert_allclose(outputs["p_fake"] + answers["p_fake"], 1, atol=1e-5)

    # A model of another input size is none of its versions.
    before = everything(repository)
    with pytest.raises(RefusedError, match="--as"):
        bring(save_image_model(tmp_path / "wide", "resnet"))
    assert everything(repository) == before


def test_probabilities_of_several_fake_labels_add_up(repository, bring, tmp_path):
    folder = save_image_model(tmp_path / "three", "vit", labels=("gan", "real", "diffusion"))
    with pytest.raises(RefusedError, match="'diffusion'"):
        bring(folder)

    imported = bring(folder, fake_labels=("gan", "2"))

    ours, theirs = compare(repository, folder, [0, 2])
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert "gan + diffusion" in imported.notes[0]


def test_a_single_logit_is_read_as_asked(repository, bring, tmp_path):
    folder = save_image_model(tmp_path / "one", "vit", labels=("LABEL_0",))
    with pytest.raises(RefusedError, match="--fake-label 1"):
        bring(folder)

    bring(folder, fake_labels=("0",))

    ours, theirs = compare(repository, folder, 0)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_checkpoint_of_pickle_is_opened_only_when_asked(repository, bring, folder):
    weights = load_file(folder / "model.safetensors")
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(RefusedError, match="--trust-pickle"):
        bring(folder)

    assert bring(folder, trust_pickle=True, dry_run=True).card.version == 1
    assert everything(repository) == {}


def test_a_model_is_brought_by_its_name_from_a_hub(hub, repository, bring, vit):
    hub.repositories["dima806/deepfake_vs_real_image_detection"] = vit

    imported = bring("dima806/deepfake_vs_real_image_detection")

    assert f"dima806/deepfake_vs_real_image_detection at {COMMIT}" in imported.card.source
    assert imported.card.label_order == ("Real", "Fake")
    assert repository.versions("faces") == (1,)
