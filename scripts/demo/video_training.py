"""Trains the sequence model on the encoder's features of clips."""

import math
import time
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray

from scripts.demo.shapes import FRAMES
from scripts.demo.video_model import build_sequence_model

_CLIPS_PER_BATCH: Final = 32
_PEAK_RATE: Final = 3e-3
_FEWEST_FRAMES: Final = 3


def draw_masks(rng: np.random.Generator, clips: int) -> NDArray[np.float32]:
    """Masks [clips, 16]: half of the clips are whole, others end early or miss frames in which no face was found."""
    masks = np.ones((clips, FRAMES), np.float32)
    for mask in masks:
        if rng.random() < 0.5:
            mask[int(rng.integers(_FEWEST_FRAMES, FRAMES + 1)) :] = 0
            missed = rng.random(FRAMES) < rng.uniform(0, 0.5)
            missed[:_FEWEST_FRAMES] = False
            mask[missed] = 0
    return masks


def train_sequence(features: NDArray[np.float32], fake: NDArray[np.bool_], *, seed: int, epochs: int) -> keras.Model:
    """LSTM trained on `features` [n, 16, 64] with new masks in every epoch."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = build_sequence_model()
    steps = epochs * math.ceil(len(features) / _CLIPS_PER_BATCH)
    rate = keras.optimizers.schedules.CosineDecay(_PEAK_RATE, steps)
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    # Every frame of a forged clip is forged, so the clip's label teaches the frames as well.
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=1e-3),  # pyright: ignore[reportArgumentType]  (a schedule is one)
        loss=[cross_entropy, cross_entropy],
        loss_weights=[1.0, 0.5],
    )
    labels = fake[:, None].astype(np.float32)
    started = time.monotonic()
    for epoch in range(epochs):
        history = model.fit(
            [features, draw_masks(rng, len(features))],
            [labels, np.repeat(labels, FRAMES, axis=1)],
            batch_size=_CLIPS_PER_BATCH,
            verbose=0,  # pyright: ignore[reportArgumentType]  (Keras takes numbers too)
        ).history
        if epoch % 5 == 4:
            figures = ", ".join(f"{name} {values[0]:.3f}" for name, values in history.items())
            print(
                f"  video epoch {epoch + 1}/{epochs}: {figures}, {math.ceil(time.monotonic() - started)} s", flush=True
            )
    return model


def clip_logits(model: keras.Model, features: NDArray[np.float32], masks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits [n] of clips."""
    return np.asarray(model([features, masks], training=False)[0])[:, 0]
