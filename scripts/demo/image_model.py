"""The image detector: a Keras CNN that looks for blending boundaries and for regions of another resolution.

Fixed high-pass filters stand in front, because both traces live in the residual that they leave and not in what the
picture shows (Fridrich & Kodovský, 2012, "Rich Models for Steganalysis of Digital Images"). In training it also says
where the forgery lies, which teaches more than one bit per picture does (Li et al., 2020, "Face X-ray").
"""

from typing import Final

import keras
import numpy as np
from keras import layers

from scripts.demo.shapes import CROP, FEATURES

_FILTER_SIZE: Final = 5


def build_trainee() -> keras.Model:
    """CNN from `crop`, uint8 RGB [n, 224, 224, 3], to a logit [n, 1], high for forged, and mask logits [n, 28, 28]."""
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
    x = _convolution(x, 24, stride=2)
    x = _convolution(x, 32, stride=2)
    x = _convolution(x, 64, stride=2)
    near = _convolution(x, 64)
    x = _convolution(near, 96, stride=2)
    x = _convolution(x, 96, dilation=2)
    wide = _convolution(x, 96, dilation=3)
    x = layers.Concatenate()([near, layers.UpSampling2D(2)(wide)])
    x = _convolution(x, 64, kernel=1)
    mask = layers.Conv2D(1, 1)(x)
    seen = layers.Concatenate()([x, layers.Activation("sigmoid")(mask)])
    x = layers.Concatenate()(
        [
            layers.GlobalAveragePooling2D()(seen),
            layers.GlobalMaxPooling2D()(seen),
            layers.GlobalAveragePooling2D()(wide),
        ]
    )
    x = layers.Dropout(0.2)(x)
    x = layers.Dense(FEATURES, activation="relu", name="features")(x)
    mask = layers.Reshape(mask.shape[1:3], name="mask")(mask)
    return keras.Model(crop, [layers.Dense(1, name="logit")(x), mask], name="image_cnn")


def detector_of(trainee: keras.Model) -> keras.Model:
    """The part that judges: `crop` to its logit [n, 1]."""
    return keras.Model(trainee.input, trainee.get_layer("logit").output, name="image_cnn")


def encoder_of(trainee: keras.Model) -> keras.Model:
    """The same network up to its last hidden layer: `crop` to features, float32 [n, 64]."""
    return keras.Model(trainee.input, trainee.get_layer("features").output, name="video_encoder")


def _convolution(
    x: keras.KerasTensor, filters: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides=stride, dilation_rate=dilation, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


@keras.saving.register_keras_serializable("bonafide")
def _high_pass(shape: tuple[int, ...], dtype: str | None = None) -> np.ndarray:
    """Two residual filters for each colour: a Laplacian for edges, and the 5x5 "KV" filter for interpolation."""
    laplacian = np.zeros((_FILTER_SIZE, _FILTER_SIZE))
    laplacian[1:4, 1:4] = np.asarray([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]]) / 4
    kv = np.asarray([[-1, 2, -2, 2, -1], [2, -6, 8, -6, 2], [-2, 8, -12, 8, -2], [2, -6, 8, -6, 2], [-1, 2, -2, 2, -1]])
    bank = np.stack([laplacian, kv / 12], axis=-1)
    return np.broadcast_to(bank[:, :, None, :], shape).astype(dtype or "float32")
