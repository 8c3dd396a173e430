"""The video detector: a Keras LSTM over the encoder's features of the sampled frames of one face."""

from typing import Any, Final

import keras
from keras import layers, ops
from numpy.typing import NDArray

from scripts.demo.shapes import FEATURES, FRAMES

_UNITS: Final = 48


@keras.saving.register_keras_serializable("bonafide")
class MaskedMean(layers.Layer):
    """Mean of [n, T, d] over the time steps where the mask [n, T] is 1; zero where there is none."""

    def call(self, values: Any, mask_values: Any) -> Any:
        """Weighted sum over time divided by the number of steps that count."""
        weights = ops.expand_dims(mask_values, -1)
        total: Any = ops.sum(values * weights, axis=1)
        return total / ops.maximum(ops.sum(weights, axis=1), 1.0)


def build_sequence_model(mean: NDArray, variance: NDArray) -> keras.Model:
    """LSTM from `features` [n, 16, 64] and `mask` [n, 16] to clip logits [n, 1] and frame logits [n, 16].

    `mean` and `variance` [64] of the features bring them to one scale inside the model. Steps whose mask is 0 leave the
    LSTM's state and the clip's logit untouched. The loop is unrolled, so the exported graph has no control flow.
    """
    features = keras.Input((FRAMES, FEATURES), name="features")
    mask = keras.Input((FRAMES,), name="mask")
    seen = ops.greater(mask, 0.5)
    # What is masked may hold anything, also what is not a number.
    values = ops.where(ops.expand_dims(seen, -1), features, 0.0)
    values = layers.Normalization(mean=mean, variance=variance + 1e-3)(values)
    values = layers.Dense(_UNITS, activation="relu", name="projection")(values)
    states = layers.LSTM(_UNITS, return_sequences=True, unroll=True, name="lstm")(values, mask=seen)
    frame_logits = layers.Reshape((FRAMES,), name="frame_logits")(layers.Dense(1)(states))
    pooled = MaskedMean(name="pooled")(states, ops.cast(seen, "float32"))
    clip_logit = layers.Dense(1, name="clip_logit")(layers.Dropout(0.2)(pooled))
    return keras.Model([features, mask], [clip_logit, frame_logits], name="video_lstm")
