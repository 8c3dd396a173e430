"""Files of Keras that are refused, each with a sentence, and nothing is changed."""

import zipfile

import h5py
import keras
import pytest
from keras import layers

from tests.fixtures.keras_networks import classifier, head

# Keras asks TensorFlow for arrays in a way that numpy has given up, wherever it reads or writes weights.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # Keras says it of the network that is made to be refused.
    pytest.mark.filterwarnings("ignore:(?s).*softmax over axis:UserWarning"),
]


def saved(network, tmp_path, name="model.keras"):
    network.save(tmp_path / name)
    return tmp_path / name


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
def test_what_cannot_be_brought_is_refused_in_words_and_changes_nothing(refused, tmp_path, kind):
    make, wishes, sentence = BAD[kind]

    refused(sentence, make(tmp_path), **wishes)
