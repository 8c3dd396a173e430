"""The video detector: a Keras LSTM over the encoder's features of the sampled frames of one face."""

from typing import Any, Final

import keras
from keras import layers, ops

from scripts.demo.shapes import FEATURES, FRAMES

_UNITS: Final = 48


def build_sequence_model() -> keras.Model:
    """LSTM from `features` [n, 16, 64] and `mask` [n, 16] to clip logits [n, 1] and frame logits [n, 16].

    Steps whose mask is 0 leave the LSTM's state and the clip's logit untouched. The loop is unrolled, so the exported
    graph has no control flow.
    """
    features = keras.Input((FRAMES, FEATURES), name="features")
    mask = keras.Input((FRAMES,), name="mask")
    seen: Any = ops.greater(mask, 0.5)
    # What is masked may hold anything, also what is not a number.
    values = ops.where(ops.expand_dims(seen, -1), features, 0.0)
    values = layers.BatchNormalization(momentum=0.9)(values, mask=seen)
    values = layers.Dense(_UNITS, activation="relu", name="projection")(values)
    states: Any = layers.LSTM(_UNITS, return_sequences=True, unroll=True, name="lstm")(values, mask=seen)
    frame_logits = ops.squeeze(layers.Dense(1, name="frame_logits")(states), axis=-1)
    weights: Any = ops.expand_dims(ops.cast(seen, "float32"), -1)
    total: Any = ops.sum(states * weights, axis=1)
    pooled = total / ops.maximum(ops.sum(weights, axis=1), 1.0)
    clip_logit = layers.Dense(1, name="clip_logit")(layers.Dropout(0.2)(pooled))
    return keras.Model([features, mask], [clip_logit, frame_logits], name="video_lstm")
