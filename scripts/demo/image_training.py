"""Trains the image detector on pairs of a genuine and a forged crop."""

import math
import time
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray

from scripts.demo.crops import CropSet
from scripts.demo.image_model import build_trainee
from scripts.demo.shapes import MAP

_PAIRS_PER_BATCH: Final = 8
_PEAK_RATE: Final = 2e-3
_PREDICTION_BATCH: Final = 64


class PairBatches(keras.utils.PyDataset):
    """Shuffled pairs, each flipped as one: crops uint8 [16, 224, 224, 3]; labels [16, 1] and masks [16, 28, 28].

    The genuine crop stands beside its forgery in a batch, so the gradient sees little else than the trace.
    """

    def __init__(self, data: CropSet, seed: int) -> None:
        super().__init__(workers=1)
        self._data = data
        self._rng = np.random.default_rng(seed)
        self._order = self._rng.permutation(len(data))

    def __len__(self) -> int:
        return len(self._order) // _PAIRS_PER_BATCH

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], tuple[NDArray, NDArray]]:
        rows = self._order[index * _PAIRS_PER_BATCH : (index + 1) * _PAIRS_PER_BATCH]
        crops, masks = self._data.crops[rows], self._data.masks[rows] / np.float32(255)
        for row, turn in enumerate(np.random.default_rng(rows).integers(0, 2, (len(rows), 2))):
            steps = 1 - 2 * turn
            crops[row] = crops[row, :, :: steps[0], :: steps[1]]
            masks[row] = masks[row, :: steps[0], :: steps[1]]
        labels = np.tile(np.asarray([[0.0], [1.0]], np.float32), (len(rows), 1))
        masks = np.stack([np.zeros_like(masks), masks], axis=1)
        return crops.reshape(-1, *crops.shape[2:]), (labels, masks.reshape(-1, MAP, MAP))

    def on_epoch_end(self) -> None:
        """Shuffle the pairs anew."""
        self._order = self._rng.permutation(self._order)


def train_image(data: CropSet, *, seed: int, epochs: int) -> keras.Model:
    """CNN trained on `data`, with a learning rate that rises shortly and then falls as a cosine to zero."""
    keras.utils.set_random_seed(seed)
    trainee = build_trainee()
    batches = PairBatches(data, seed)
    steps = epochs * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(
        _PEAK_RATE / 10, steps - steps // 20, warmup_target=_PEAK_RATE, warmup_steps=steps // 20
    )
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    trainee.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=1e-4),  # pyright: ignore[reportArgumentType]  (a schedule is one)
        loss=[cross_entropy, cross_entropy],
        loss_weights=[1.0, 2.0],
        metrics=[[keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)], []],
    )
    started = time.monotonic()
    for epoch in range(epochs):
        history = trainee.fit(
            batches,
            initial_epoch=epoch,
            epochs=epoch + 1,
            verbose=0,  # pyright: ignore[reportArgumentType]  (Keras takes numbers too)
            shuffle=False,
        ).history
        figures = ", ".join(f"{name} {values[0]:.3f}" for name, values in history.items())
        print(f"  image epoch {epoch + 1}/{epochs}: {figures}, {math.ceil(time.monotonic() - started)} s", flush=True)
    return trainee


def predict(model: keras.Model, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Answers [n, d] of a model of one output for crops [n, 224, 224, 3], computed in batches."""
    batches = np.array_split(crops, math.ceil(len(crops) / _PREDICTION_BATCH))
    return np.concatenate([np.asarray(model(batch, training=False)) for batch in batches])
