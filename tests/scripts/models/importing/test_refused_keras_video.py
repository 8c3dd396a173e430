"""Networks of Keras that are no video model, or none that can be divided, are refused, each with a sentence."""

import keras
import pytest
from keras import layers

from tests.fixtures.keras_networks import FRAMES, SIDE, classifier, head, spread

# Keras asks TensorFlow for arrays in a way that numpy has given up, wherever it reads or writes weights.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def saved(network, tmp_path, name):
    network.save(tmp_path / name)
    return tmp_path / name


def any_classifier():
    return classifier(layers.Dense(1, activation="sigmoid"))


def branching():
    clip = keras.Input((FRAMES, SIDE, SIDE, 3))
    rows = layers.TimeDistributed(layers.Flatten())(layers.Rescaling(1 / 255)(clip))
    both = layers.Concatenate()([layers.LSTM(3)(rows), layers.GlobalAveragePooling1D()(rows)])
    return keras.Model(clip, layers.Dense(1)(both))


def mixing(*first):
    return spread(
        keras.Sequential(
            [
                keras.Input((FRAMES, SIDE, SIDE, 3)),
                layers.Rescaling(1 / 255),
                *first,
                layers.Flatten(),
                layers.Dense(1, activation="sigmoid"),
            ]
        )
    )


BAD = {
    "head-first": (lambda: [head(layers.LSTM(3)), any_classifier()], {}, "give the encoder first"),
    "other-encoder": (
        lambda: [
            any_classifier(),
            spread(keras.Sequential([keras.Input((FRAMES, 99)), layers.LSTM(3), layers.Dense(1)])),
        ],
        {},
        "99 values a frame",
    ),
    "open-length": (lambda: [any_classifier(), head(layers.LSTM(3), frames=None)], {}, "--frames 16"),
    "other-length": (lambda: [any_classifier(), head(layers.LSTM(3))], {"frames": 16}, "leave --frames out"),
    "three-labels": (
        lambda: [any_classifier(), head(layers.LSTM(3), last=layers.Dense(3, activation="softmax"))],
        {},
        "3 values a clip",
    ),
    "two-classifiers": (lambda: [any_classifier(), any_classifier()], {}, "none that can be served"),
    "image-wanted": (lambda: [any_classifier(), head(layers.LSTM(3))], {"modality": "image"}, "judges video"),
    "convolution-over-frames": (lambda: [mixing(layers.Conv3D(2, 3))], {}, "Conv3D.* looks at several frames"),
    "convolutional-lstm": (lambda: [mixing(layers.ConvLSTM2D(2, 3))], {}, "ConvLSTM2D.* looks at several frames"),
    "branches": (lambda: [branching()], {}, "branches"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_video_model_is_refused_in_words_and_changes_nothing(refused, tmp_path, kind):
    make, wishes, sentence = BAD[kind]
    files = [saved(network, tmp_path, f"{number}.keras") for number, network in enumerate(make())]

    refused(sentence, *files, name="video_x", fake_labels=("1",), **wishes)
