"""The image detector: a Keras CNN that looks for blending boundaries and for regions of another resolution.

Fixed high-pass filters stand in front, because both traces live in the residual that they leave and not in what the
picture shows (Fridrich & Kodovský, 2012, "Rich Models for Steganalysis of Digital Images").
"""

from typing import Final

import keras
import numpy as np
from keras import layers

CROP: Final = 224
"""Height and width of the input in pixels."""
FEATURES: Final = 64
"""Width of the last layer before the logit; what the video model sees of a frame."""
_FILTER_SIZE: Final = 5


def build_detector() -> keras.Model:
    """CNN from `crop`, uint8 RGB [n, 224, 224, 3], to a logit [n, 1] that is high for forged crops."""
    crop = keras.Input((CROP, CROP, 3), dtype="uint8", name="crop")
    pixels = layers.Rescaling(1 / 127.5, offset=-1.0)(crop)
    residual = layers.DepthwiseConv2D(
        _FILTER_SIZE,
        depth_multiplier=2,
        padding="same",
        use_bias=False,
        trainable=False,
        depthwise_initializer=_high_pass,  # pyright: ignore[reportArgumentType]  (Keras takes callables too)
        name="residual",
    )(pixels)
    # Clipping keeps strong edges of the picture itself from drowning the faint traces.
    residual = layers.ReLU(max_value=1.0)(layers.Rescaling(4.0, offset=0.5)(residual))
    x = layers.Concatenate()([pixels, residual])
    x = _convolution(x, 24, kernel=5, stride=2)
    x = _convolution(x, 32, stride=2)
    x = _convolution(x, 48)
    x = _convolution(x, 64, stride=2)
    x = _convolution(x, 64)
    x = _convolution(x, 96, stride=2)
    x = _convolution(x, 96)
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    x = layers.Dropout(0.2)(x)
    x = layers.Dense(FEATURES, activation="relu", name="features")(x)
    return keras.Model(crop, layers.Dense(1, name="logit")(x), name="image_cnn")


def frame_encoder(detector: keras.Model) -> keras.Model:
    """The same network up to its last hidden layer: `crop` to features, float32 [n, 64]."""
    return keras.Model(detector.input, detector.get_layer("features").output, name="video_encoder")


def _convolution(x: keras.KerasTensor, filters: int, *, kernel: int = 3, stride: int = 1) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def _high_pass(shape: tuple[int, ...], dtype: str | None = None) -> np.ndarray:
    """Two residual filters for each colour: a Laplacian for edges, and the 5x5 "KV" filter for interpolation."""
    laplacian = np.zeros((_FILTER_SIZE, _FILTER_SIZE))
    laplacian[1:4, 1:4] = np.asarray([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]]) / 4
    kv = np.asarray([[-1, 2, -2, 2, -1], [2, -6, 8, -6, 2], [-2, 8, -12, 8, -2], [2, -6, 8, -6, 2], [-1, 2, -2, 2, -1]])
    bank = np.stack([laplacian, kv / 12], axis=-1)
    return np.broadcast_to(bank[:, :, None, :], shape).astype(dtype or "float32")
