import keras
import numpy as np
import pytest

from scripts.models.export import export_keras
from scripts.models.graph import Pixels, take_pixels
from scripts.models.session import check_parity

pytestmark = pytest.mark.integration


def test_a_keras_model_of_two_inputs_and_outputs_keeps_their_order() -> None:
    keras.utils.set_random_seed(5)
    left, right = keras.Input((3,)), keras.Input((2,))
    joined = keras.layers.Concatenate()([left, right])
    model = keras.Model([left, right], [keras.layers.Dense(1)(joined), keras.layers.Dense(4)(joined)])
    rng = np.random.default_rng(1)
    inputs = [rng.random((6, 3), np.float32), rng.random((6, 2), np.float32)]

    graph = export_keras(model, [part[:2] for part in inputs], inputs=["left", "right"], outputs=["one", "four"])

    one, four = (np.asarray(answer) for answer in model(inputs, training=False))
    assert check_parity(graph, dict(zip(["left", "right"], inputs, strict=True)), {"one": one, "four": four}) < 1e-6


def test_a_keras_model_of_pixels_takes_bytes_after_wrapping() -> None:
    keras.utils.set_random_seed(6)
    model = keras.Sequential([keras.Input((6, 5, 3)), keras.layers.Conv2D(2, 3), keras.layers.GlobalMaxPooling2D()])
    crops = np.random.default_rng(2).integers(0, 256, (3, 6, 5, 3), dtype=np.uint8)
    exported = export_keras(model, [crops.astype(np.float32)], inputs=["pixels"], outputs=["logits"])

    graph = take_pixels(exported, Pixels(scale=1 / 127.5, mean=(1.0, 1.0, 1.0)), source="pixels")

    expected = np.asarray(model(crops.astype(np.float32) / 127.5 - 1))
    assert check_parity(graph, {"crop": crops}, {"logits": expected}) < 1e-6
