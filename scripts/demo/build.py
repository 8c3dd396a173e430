"""Builds the demo models: makes the data, trains, calibrates, measures on held-out media, and publishes.

`python -m scripts.demo` takes some minutes on two cores and prints what it reached.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from bentos.cards import Card
from scripts.demo.audio_training import train_audio, window_logits
from scripts.demo.clips import draw_clips
from scripts.demo.crops import CropSet, draw_crops
from scripts.demo.image_model import detector_of
from scripts.demo.image_training import predict, train_image
from scripts.demo.photographs import SPLIT, Part
from scripts.demo.release import (
    VERSION,
    Figures,
    release_audio,
    release_encoder,
    release_image,
    release_sequence,
    release_traffic,
    sequence_golden,
)
from scripts.demo.shapes import CROP, FRAMES
from scripts.demo.sounds import Utterances, cut_windows, draw_utterances
from scripts.demo.text_model import train_tokenizer
from scripts.demo.text_release import release_text
from scripts.demo.text_training import text_logits, train_text
from scripts.demo.texts import draw_texts, genuine_documents
from scripts.demo.video_training import clip_logits, draw_masks, train_sequence
from scripts.models.calibration import choose_thresholds, fit_temperature, sigmoid
from scripts.models.metrics import measure
from scripts.models.publish import MODEL_FILE
from scripts.models.session import run_graph

SEED: Final = 20_240_611
REPOSITORY: Final = Path(__file__).parents[2] / "model_repository"
KINDS: Final = ("image", "audio", "text")
"""Kinds of medium whose models can be built alone; those of videos are made from those of images."""
_Piece = TypeVar("_Piece")
_PHOTOGRAPHS: Final = ", ".join(name.split(".")[0] for name in SPLIT["test"])


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many pairs of a genuine medium and its forgery each part gets, and how often the training part is seen."""

    pairs: Mapping[Part, int]
    epochs: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The size of the whole work; the default is what two cores do in a quarter of an hour."""

    image: Sizes = Sizes(pairs={"train": 5000, "calibration": 500, "test": 800}, epochs=3)
    video: Sizes = Sizes(pairs={"train": 320, "calibration": 100, "test": 150}, epochs=30)
    audio: Sizes = Sizes(pairs={"train": 1000, "calibration": 250, "test": 400}, epochs=5)
    text: Sizes = Sizes(pairs={"train": 4000, "calibration": 500, "test": 800}, epochs=5)


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument("--output", type=Path, default=REPOSITORY, help="the model repository to write to")
    parser.add_argument("--only", choices=KINDS, help="build the models of one kind of medium and leave the others")
    arguments = parser.parse_args()
    build(arguments.output, Plan(), kinds=(arguments.only,) if arguments.only else KINDS)


def build(output: Path, plan: Plan, *, kinds: Collection[str] = KINDS) -> None:
    """Build the demo models into the model repository `output`; those of videos need those of images."""
    # Threads of the children would only fight with each other, and with TensorFlow a fork is not safe.
    context = multiprocessing.get_context("spawn")
    with (
        _timed("all"),
        ProcessPoolExecutor(os.cpu_count(), mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool,
    ):
        if "image" in kinds:
            with _timed("image"):
                trainee = build_image(output, plan.image, pool)
            with _timed("video"):
                build_video(output, plan.video, pool, trainee)
        if "audio" in kinds:
            with _timed("audio"):
                build_audio(output, plan.audio, pool)
        if "text" in kinds:
            with _timed("text"):
                build_text(output, plan.text)
        release_traffic(output)


def build_image(output: Path, sizes: Sizes, pool: ProcessPoolExecutor) -> keras.Model:
    """Train and publish `image_cnn`; returns the trained network."""

    def crops(part: Part) -> CropSet:
        pieces = list(_drawn(pool, partial(draw_crops, SEED, part), sizes.pairs[part], step=50))
        return CropSet(np.concatenate([p.crops for p in pieces]), np.concatenate([p.masks for p in pieces]))

    with _timed("image data"):
        data, calibration, test = crops("train"), crops("calibration"), crops("test")
    trainee = train_image(data, seed=SEED, epochs=sizes.epochs)
    detector = detector_of(trainee)
    figures = _figures(
        *((predict(detector, _flat(part.crops))[:, 0], _alternating(len(part))) for part in (calibration, test)),
        name=f"held-out photographs ({_PHOTOGRAPHS}), self-blended and up-sampled",
    )
    release_image(output, trainee, figures, _flat(test.crops[:2]))
    return trainee


def build_video(output: Path, sizes: Sizes, pool: ProcessPoolExecutor, trainee: keras.Model) -> None:
    """Publish `video_encoder`, and train and publish `video_lstm` on its features."""
    golden = _flat(draw_crops(SEED, "test", 0, 2).crops)
    encoder = release_encoder(output, trainee, golden)
    weights = (output / encoder.model / str(VERSION) / MODEL_FILE).read_bytes()

    def features(part: Part) -> NDArray[np.float32]:
        # Clips are large, so each is encoded as soon as it is drawn.
        pieces = _drawn(pool, partial(draw_clips, SEED, part), sizes.pairs[part], step=10)
        encoded = [run_graph(weights, {"crop": piece.reshape(-1, CROP, CROP, 3)})["features"] for piece in pieces]
        return np.concatenate(encoded).reshape(2 * sizes.pairs[part], FRAMES, -1)

    with _timed("video data"):
        data, calibration, test = features("train"), features("calibration"), features("test")
    model = train_sequence(data, _alternating(len(data) // 2), seed=SEED, epochs=sizes.epochs)
    rng = np.random.default_rng(SEED)
    figures = _figures(
        *(
            (clip_logits(model, part, draw_masks(rng, len(part))), _alternating(len(part) // 2))
            for part in (calibration, test)
        ),
        name=f"clips over held-out photographs ({_PHOTOGRAPHS}), half of them with frames missing",
    )
    release_sequence(output, model, encoder, figures, sequence_golden(test[:4]))


def build_audio(output: Path, sizes: Sizes, pool: ProcessPoolExecutor) -> Card:
    """Train and publish `audio_transformer`."""

    def utterances(part: Part) -> Utterances:
        pieces = _drawn(pool, partial(draw_utterances, SEED, part), sizes.pairs[part], step=50)
        return Utterances(np.concatenate([piece.sounds for piece in pieces]))

    with _timed("audio data"):
        data, calibration, test = utterances("train"), utterances("calibration"), utterances("test")
    detector = train_audio(data, seed=SEED, epochs=sizes.epochs)
    sets = [cut_windows(SEED, part) for part in (calibration, test)]
    figures = _figures(
        *((window_logits(detector, windows), spoofed) for windows, spoofed in sets),
        name="two-second windows of held-out voices and their vocoder copies",
    )
    return release_audio(output, detector, figures, sets[1][0][:4])


def build_text(output: Path, sizes: Sizes) -> Card:
    """Train and publish `text_transformer`."""
    data, calibration, test = (draw_texts(SEED, part, sizes.pairs[part]) for part in ("train", "calibration", "test"))
    tokenizer = train_tokenizer(genuine_documents("train"))
    detector = train_text(data, tokenizer, seed=SEED, epochs=sizes.epochs)
    figures = _figures(
        *((text_logits(detector, tokenizer, part.pieces), np.array(part.fake)) for part in (calibration, test)),
        name="pieces of held-out documentation of Python, and babble sampled from its words",
    )
    return release_text(output, detector, tokenizer, figures, SEED)


def _figures(
    calibration: tuple[NDArray, NDArray[np.bool_]], test: tuple[NDArray, NDArray[np.bool_]], *, name: str
) -> Figures:
    """Temperature and thresholds from (logits, fake) of the calibration part, metrics from those of the test part."""
    temperature = round(fit_temperature(*calibration), 4)
    thresholds = choose_thresholds(sigmoid(calibration[0] / temperature), calibration[1])
    metrics = measure(sigmoid(test[0] / temperature), test[1], name=name)
    print(f"  temperature {temperature}, thresholds {thresholds.low} and {thresholds.high}\n  {metrics}", flush=True)
    return Figures(temperature=temperature, thresholds=thresholds, metrics=metrics)


def _drawn(pool: ProcessPoolExecutor, draw: Callable[[int, int], _Piece], count: int, *, step: int) -> Iterator[_Piece]:
    """Pieces `draw(start, stop)` of a numbered sequence, in order, made in the pool."""
    return pool.map(draw, range(0, count, step), (min(start + step, count) for start in range(0, count, step)))


def _flat(pairs: NDArray[Any]) -> NDArray[Any]:
    return pairs.reshape(-1, *pairs.shape[2:])


def _alternating(pairs: int) -> NDArray[np.bool_]:
    """Labels of pairs: genuine and fake by turns."""
    return np.arange(2 * pairs) % 2 == 1


@contextmanager
def _timed(name: str) -> Generator[None, None, None]:
    """Print how long a step took, and how much of it this process spent computing."""
    wall, cpu = time.monotonic(), time.process_time()
    yield
    print(f"{name}: {time.monotonic() - wall:.0f} s, {time.process_time() - cpu:.0f} s of computing here", flush=True)
