"""Image classifiers of Keras, saved by Keras itself."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from bentos.media.crops import centre_square, cut
from bentos.media.prepared import CropShape
from scripts.demo.photographs import load_photograph
from scripts.models.errors import RefusedError
from scripts.models.importing.importer import import_model
from scripts.models.importing.wishes import Wishes
from scripts.models.publish import read_golden
from scripts.models.session import run_graph
from tests.fixtures.keras_networks import SIDE, classifier

# Keras asks TensorFlow for arrays in a way that numpy has given up, wherever it reads or writes weights.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

# Pictures that the check of an import does not look at.
UNSEEN = ("retina.jpg", "ihc.png", "coins.png", "brick.png")


@pytest.fixture(scope="module")
def crops():
    shape = CropShape(height=SIDE, width=SIDE, resize_filter="bilinear", margin=0.3)
    photographs = [load_photograph(name) for name in UNSEEN]
    return np.concatenate([cut(each, [centre_square(each.shape[1], each.shape[0])], shape) for each in photographs])


def bring(repository, file, **wishes):
    [imported] = import_model([str(file)], Wishes(name="faces", **wishes), repository)
    return imported


def saved(network, tmp_path, name="model.keras"):
    network.save(tmp_path / name)
    return tmp_path / name


def p_fake(repository, crops, version=1):
    return run_graph((repository.root / f"faces/{version}/model.onnx").read_bytes(), {"crop": crops})["p_fake"][:, 0]


def asked(network, values, column=0):
    return np.asarray(network(values.astype(np.float32), training=False))[:, column]


@pytest.mark.parametrize(("name", "label"), [("model.keras", "1"), ("model.h5", "0")], ids=["archive", "hdf5"])
def test_one_sigmoid(repository, tmp_path, crops, name, label):
    network = classifier(layers.Dense(1, activation="sigmoid"))

    card = bring(repository, saved(network, tmp_path, name), fake_labels=(label,)).card

    expected = asked(network, crops)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(p_fake(repository, crops), expected if label == "1" else 1 - expected, atol=1e-5)
    assert (card.version, card.modality, card.label_order[int(label)]) == (1, "image", "fake")
    assert card.parity.largest <= 1e-5
    assert card.parity.framework.startswith("Keras 3")
    assert (card.thresholds.low, card.thresholds.high, card.metrics) == (0.4, 0.6, None)
    inputs, outputs = read_golden(repository.root, "faces", 1)
    np.testing.assert_array_equal(p_fake(repository, inputs["crop"]), outputs["p_fake"][:, 0])


@pytest.mark.parametrize(
    ("last", "read"),
    [
        ([layers.Dense(2, activation="softmax")], lambda both: both[:, 0]),
        ([layers.Dense(2), layers.Softmax()], lambda both: both[:, 0]),
        ([layers.Dense(2)], lambda logits: 1 / (1 + np.exp(logits[:, 1] - logits[:, 0]))),
        ([layers.Dense(1)], lambda logits: 1 / (1 + np.exp(logits[:, 0]))),
    ],
    ids=["softmax-activation", "softmax-layer", "two-logits", "one-logit"],
)
def test_other_ends_of_a_classifier(repository, tmp_path, crops, last, read):
    network = classifier(*last)

    bring(repository, saved(network, tmp_path), fake_labels=("0",))

    values = np.asarray(network(crops.astype(np.float32), training=False))
    np.testing.assert_allclose(p_fake(repository, crops), read(values), atol=1e-5)


@pytest.mark.parametrize(
    ("scale", "prepare"),
    [
        ("raw", lambda pixels: pixels),
        ("1/255", lambda pixels: pixels / 255),
        ("-1..1", lambda pixels: keras.applications.imagenet_utils.preprocess_input(pixels, mode="tf")),
        ("imagenet", lambda pixels: keras.applications.imagenet_utils.preprocess_input(pixels, mode="torch")),
        ("caffe", lambda pixels: keras.applications.imagenet_utils.preprocess_input(pixels, mode="caffe")),
    ],
    ids=["raw", "by-255", "minus-one-to-one", "imagenet", "caffe"],
)
def test_what_was_done_to_pixels_is_done_in_the_graph(repository, tmp_path, crops, scale, prepare):
    network = classifier(layers.Dense(1, activation="sigmoid"), scaled=False)

    bring(repository, saved(network, tmp_path), fake_labels=("1",), scale=scale)

    expected = asked(network, prepare(crops.astype(np.float32)))
    np.testing.assert_allclose(p_fake(repository, crops), expected, atol=1e-4)


@pytest.mark.parametrize(("scaled", "warned"), [(True, True), (False, False)], ids=["in-it-too", "only-before"])
def test_pixels_that_are_scaled_twice_are_told(repository, tmp_path, scaled, warned):
    network = classifier(layers.Dense(1, activation="sigmoid"), scaled=scaled)

    imported = bring(repository, saved(network, tmp_path), fake_labels=("1",), scale="1/255")

    assert any("once more, by Rescaling" in note for note in imported.notes) is warned


def test_augmentation_is_left_out_and_a_network_inside_another_one_scales_its_pixels_too(repository, tmp_path, crops):
    augment = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)])
    pixels = keras.Input((SIDE, SIDE, 3))
    network = keras.Model(pixels, classifier(layers.Dense(1, activation="sigmoid"))(augment(pixels)))

    imported = bring(repository, saved(network, tmp_path), fake_labels=("1",))

    assert any("Rescaling" in note for note in imported.notes)
    np.testing.assert_allclose(p_fake(repository, crops), asked(network, crops), atol=1e-5)


def test_a_network_of_any_size_gets_the_one_that_was_asked_for(repository, tmp_path, crops):
    network = classifier(layers.Dense(1, activation="sigmoid"), side=None)
    file = saved(network, tmp_path)

    with pytest.raises(RefusedError, match="--input-size 224"):
        bring(repository, file, fake_labels=("1",))
    imported = bring(repository, file, fake_labels=("1",), input_size=SIDE)

    assert (imported.card.input.height, imported.card.input.width) == (SIDE, SIDE)
    np.testing.assert_allclose(p_fake(repository, crops), asked(network, crops), atol=1e-5)


@pytest.mark.parametrize(
    ("content", "flipped"),
    [({"fake": 0, "real": 1}, True), ({"0": "real", "1": "fake"}, False), (["real", "deepfake"], False)],
    ids=["class-indices", "by-number", "list"],
)
def test_names_of_labels_beside_the_file_say_which_one_means_fake(repository, tmp_path, crops, content, flipped):
    network = classifier(layers.Dense(1, activation="sigmoid"))
    (tmp_path / "class_indices.json").write_text(json.dumps(content))

    bring(repository, saved(network, tmp_path))

    expected = asked(network, crops)
    np.testing.assert_allclose(p_fake(repository, crops), 1 - expected if flipped else expected, atol=1e-5)


def test_a_second_version_answers_the_golden_inputs_of_the_first(repository, tmp_path):
    file = saved(classifier(layers.Dense(1, activation="sigmoid")), tmp_path)

    versions = [bring(repository, file, fake_labels=(label,)).card.version for label in ("1", "0")]

    assert versions == [1, 2]
    one, two = (read_golden(repository.root, "faces", version)[1]["p_fake"] for version in versions)
    np.testing.assert_allclose(one, 1 - two, atol=1e-6)
