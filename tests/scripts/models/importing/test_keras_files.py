"""Image classifiers of Keras, saved by Keras itself, and files that are refused."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from bentos.media.crops import centre_square, cut
from bentos.media.prepared import CropShape
from scripts.demo.photographs import load_photograph
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.importing.importer import import_model
from scripts.models.importing.wishes import Wishes
from scripts.models.publish import read_golden
from scripts.models.repository import Repository
from scripts.models.session import run_graph
from tests.fixtures.keras_networks import SIDE, classifier, head

# Keras asks TensorFlow for arrays in a way that numpy has given up, wherever it reads or writes weights.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # Keras says it of the network that is made to be refused.
    pytest.mark.filterwarnings("ignore:(?s).*softmax over axis:UserWarning"),
]

# Pictures that the check of an import does not look at.
UNSEEN = ("retina.jpg", "ihc.png", "coins.png", "brick.png")


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "models").mkdir()
    return Repository(tmp_path / "models")


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


class Doubling(layers.Layer):
    """A class that no file brings along."""

    def call(self, values):
        return 2 * values


def lambda_file(tmp_path):
    return saved(
        keras.Sequential([keras.Input((8, 8, 3)), layers.Lambda(lambda x: x / 255), layers.Flatten()]), tmp_path
    )


def own_class_file(tmp_path, name="model.keras"):
    return saved(keras.Sequential([keras.Input((8, 8, 3)), Doubling(), layers.Flatten()]), tmp_path, name)


def weights_file(tmp_path):
    classifier(layers.Dense(1)).save_weights(tmp_path / "best.weights.h5")
    return tmp_path / "best.weights.h5"


def damaged(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    file.write_bytes(data)
    return file


def written(tmp_path, name, data=b"no model"):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def old_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as archive:
        archive.writestr("config.json", '{"class_name": "Functional", "config": {}}')
        archive.writestr("metadata.json", '{"keras_version": "2.15.0"}')
        archive.writestr("model.weights.h5", b"")
    return tmp_path / "old.keras"


def operation_file(tmp_path):
    file = saved(classifier(layers.Dense(1)), tmp_path, "model.h5")
    with h5py.File(file, "r+") as content:
        config = content.attrs["model_config"].replace('"Rescaling"', '"TFOpLambda"')
        content.attrs["model_config"] = config
    return file


def model_file(*last, tmp_path, **wishes):
    return saved(classifier(*last, **wishes), tmp_path)


BAD = {
    "not-there": (lambda tmp: tmp / "none.keras", {}, "There is no"),
    "no-model": (lambda tmp: written(tmp, "a.keras"), {}, "neither a .keras archive nor"),
    "no-hdf5": (lambda tmp: written(tmp, "a.h5"), {}, "neither a .keras archive nor"),
    "cut-hdf5": (lambda tmp: written(tmp, "a.h5", b"\x89HDF\r\n\x1a\n" + bytes(90)), {}, "damaged"),
    "damaged-archive": (lambda tmp: damaged(model_file(layers.Dense(1), tmp_path=tmp)), {}, "damaged"),
    "other-archive": (lambda tmp: written(tmp, "a.keras", b"PK\x05\x06" + bytes(18)), {}, "not one of Keras"),
    "archive-of-keras-2": (old_archive, {}, "written by Keras 2"),
    "weights-only": (weights_file, {}, "weights only"),
    "lambda": (lambda_file, {}, "Lambda layer"),
    "own-class": (own_class_file, {}, "class of its own"),
    "own-class-in-hdf5": (lambda tmp: own_class_file(tmp, "model.h5"), {}, "Doubling"),
    "operation-of-tensorflow": (operation_file, {}, "operation of TensorFlow"),
    "unclear-sigmoid": (
        lambda tmp: model_file(layers.Dense(1, activation="sigmoid"), tmp_path=tmp),
        {},
        "--fake-label 1",
    ),
    "unclear-softmax": (
        lambda tmp: model_file(layers.Dense(2, activation="softmax"), tmp_path=tmp),
        {},
        "--fake-label",
    ),
    "unclear-scale": (
        lambda tmp: model_file(layers.Dense(1), tmp_path=tmp, scaled=False),
        {"fake_labels": ("1",)},
        "Add --scale .* raw .* 1/255 .* imagenet .* caffe",
    ),
    "unknown-scale": (
        lambda tmp: model_file(layers.Dense(1), tmp_path=tmp),
        {"fake_labels": ("1",), "scale": "255"},
        "--scale 255 is not known",
    ),
    "unclear-end": (
        lambda tmp: model_file(layers.Dense(1, activation="tanh"), tmp_path=tmp),
        {"fake_labels": ("1",)},
        "--output",
    ),
    "several-sigmoids": (
        lambda tmp: model_file(layers.Dense(2, activation="sigmoid"), tmp_path=tmp),
        {"fake_labels": ("1",)},
        "a probability of its own",
    ),
    "softmax-of-one": (
        lambda tmp: model_file(layers.Dense(1, activation="softmax"), tmp_path=tmp),
        {"fake_labels": ("1",)},
        "always 1",
    ),
    "encoder-alone": (lambda tmp: model_file(layers.Dense(64), tmp_path=tmp), {}, "give its head as a second file"),
    "head-alone": (lambda tmp: saved(head(layers.LSTM(3)), tmp), {}, "Give the encoder"),
    "other-size": (
        lambda tmp: model_file(layers.Dense(1), tmp_path=tmp),
        {"fake_labels": ("1",), "input_size": 224},
        "leave --input-size out",
    ),
    "other-modality": (
        lambda tmp: model_file(layers.Dense(1), tmp_path=tmp),
        {"fake_labels": ("1",), "modality": "video"},
        "leave --modality out",
    ),
    "grey": (lambda tmp: saved(keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten()]), tmp), {}, "RGB"),
    "not-in-onnx": (
        lambda tmp: model_file(layers.Reshape((5, 1)), layers.RandomCrop(1, 1), layers.Flatten(), tmp_path=tmp),
        {"fake_labels": ("1",)},
        "cannot be written as ONNX",
    ),
    "no-medium": (lambda tmp: saved(keras.Sequential([keras.Input((9,)), layers.Dense(1)]), tmp), {}, "none that can"),
    "several-outputs": (
        lambda tmp: saved(keras.Model(x := keras.Input((8, 8, 3)), [layers.Flatten()(x), layers.Flatten()(x)]), tmp),
        {},
        "2 outputs",
    ),
    "names-that-do-not-fit": (
        lambda tmp: (
            written(tmp, "class_indices.json", b'["a", "b", "c"]'),
            model_file(layers.Dense(1), tmp_path=tmp),
        )[1],
        {},
        "does not name the labels 0 to 1",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_brought_is_refused_in_words_and_changes_nothing(repository, tmp_path, kind):
    make, wishes, sentence = BAD[kind]
    file = make(tmp_path)

    with pytest.raises(ModelsError, match=sentence):
        bring(repository, file, **wishes)

    assert [path for path in repository.root.rglob("*") if path.name != ".lock"] == []
