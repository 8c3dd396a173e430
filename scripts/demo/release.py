"""Publishes the demo models: wraps them into the contract, checks parity, writes card, config and golden answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import keras
import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto

from bentos.cards import (
    Calibration,
    Card,
    CropInput,
    FeatureInput,
    Metrics,
    PinnedModel,
    Route,
    TrafficTable,
    WaveformInput,
)
from bentos.contract import Thresholds
from scripts.demo.audio_model import LABELS, AudioDetector, normalise
from scripts.demo.catalogue import (
    AUDIO_TRANSFORMER,
    DEMO_LIMITS,
    IMAGE_CNN,
    INTENDED_USE,
    TEXT_TRANSFORMER,
    VIDEO_ENCODER,
    VIDEO_LSTM,
)
from scripts.demo.image_model import detector_of, encoder_of
from scripts.demo.shapes import CROP, FEATURES, FRAMES, MARGIN, WINDOW
from scripts.models.calibration import sigmoid
from scripts.models.export import export_keras
from scripts.models.export_torch import export_torch
from scripts.models.graph import Logits, Pixels, give_p_fake, take_pixels, take_waveform
from scripts.models.publish import CONFIG_FILE, digest_of, publish_version, write_file, write_golden, write_traffic
from scripts.models.session import check_parity, run_graph
from scripts.models.triton_config import TritonModel, render

VERSION: Final = 1
RESIZE_FILTER: Final = "area"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What calibration and the held-out part gave."""

    temperature: float
    thresholds: Thresholds
    metrics: Metrics
    note: str = ""


def release_image(repository: Path, trainee: keras.Model, figures: Figures, golden: NDArray[np.uint8]) -> Card:
    """Publish `image_cnn`; `golden` is uint8 [n, 224, 224, 3]."""
    detector = detector_of(trainee)
    graph = export_keras(detector, [golden], inputs=["pixels"], outputs=["logit"])
    graph = give_p_fake(graph, Logits(activation="sigmoid", fake=1, temperature=figures.temperature), source="logit")
    graph = _raw_pixels(graph)
    logits = np.asarray(detector(golden, training=False))
    expected = {"p_fake": sigmoid(logits / figures.temperature)}
    card = _card(
        IMAGE_CNN,
        graph,
        figures=figures,
        label_order=("bona fide", "spoof"),
        source="Keras CNN trained by scripts/demo on photographs of scikit-image and forgeries made from them",
        specification=CropInput(height=CROP, width=CROP, resize_filter=RESIZE_FILTER, margin=MARGIN),
    )
    return _publish(repository, IMAGE_CNN, graph, card, {"crop": golden}, expected)


def release_encoder(repository: Path, trainee: keras.Model, golden: NDArray[np.uint8]) -> Card:
    """Publish `video_encoder`, the detector without its last layer; `golden` is uint8 [n, 224, 224, 3]."""
    encoder = encoder_of(trainee)
    graph = _raw_pixels(export_keras(encoder, [golden], inputs=["pixels"], outputs=["features"]))
    card = _card(
        VIDEO_ENCODER,
        graph,
        figures=None,
        label_order=(),
        source="The network of image_cnn up to its last hidden layer",
        specification=CropInput(height=CROP, width=CROP, resize_filter=RESIZE_FILTER, margin=MARGIN),
    )
    expected = {"features": np.asarray(encoder(golden, training=False))}
    return _publish(repository, VIDEO_ENCODER, graph, card, {"crop": golden}, expected)


def release_sequence(
    repository: Path, model: keras.Model, encoder: Card, figures: Figures, golden: Mapping[str, NDArray[np.float32]]
) -> Card:
    """Publish `video_lstm`, pinned to `encoder`; `golden` holds features [n, 16, 64] and mask [n, 16]."""
    inputs = [golden["features"], golden["mask"]]
    graph = export_keras(model, inputs, inputs=["features", "mask"], outputs=["clip_logit", "frame_logits"])
    reading = Logits(activation="sigmoid", fake=1, temperature=figures.temperature)
    graph = give_p_fake(graph, reading, source="clip_logit")
    graph = give_p_fake(graph, reading, source="frame_logits", name="frame_p_fake")
    clip_logits, frame_logits = (np.asarray(logits) for logits in model(inputs, training=False))
    expected = {
        "p_fake": sigmoid(clip_logits / figures.temperature),
        "frame_p_fake": sigmoid(frame_logits / figures.temperature),
    }
    card = _card(
        VIDEO_LSTM,
        graph,
        figures=figures,
        label_order=("bona fide", "spoof"),
        source="Keras LSTM trained by scripts/demo on clips of a virtual camera over photographs of scikit-image",
        specification=FeatureInput(frames=FRAMES, features=FEATURES),
        encoder=PinnedModel(model=encoder.model, version=encoder.version, digest=encoder.digest),
    )
    return _publish(repository, VIDEO_LSTM, graph, card, golden, expected)


def release_audio(repository: Path, detector: AudioDetector, figures: Figures, golden: NDArray[np.float32]) -> Card:
    """Publish `audio_transformer`; `golden` is float32 [n, 32000]."""
    detector.eval()
    with torch.inference_mode():
        # One by one, so that the expected answers do not hang on the batch that they came in.
        logits = torch.cat([detector(normalise(torch.from_numpy(row[None]))) for row in golden])
        expected = {"p_fake": torch.softmax(logits / figures.temperature, dim=-1)[:, 1:].numpy()}
    graph = export_torch(detector, torch.zeros(2, WINDOW), name="values", output="logits")
    reading = Logits(activation="softmax", fake=LABELS.index("spoof"), temperature=figures.temperature)
    graph = take_waveform(give_p_fake(graph, reading, source="logits"), source="values", samples=WINDOW)
    card = _card(
        AUDIO_TRANSFORMER,
        graph,
        figures=figures,
        label_order=LABELS,
        source="Wav2Vec2ForSequenceClassification trained by scripts/demo on synthetic voices and their vocoder copies",
        specification=WaveformInput(samples=WINDOW, hop=WINDOW // 2),
    )
    return _publish(repository, AUDIO_TRANSFORMER, graph, card, {"waveform": golden}, expected)


def sequence_golden(features: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Golden inputs of `video_lstm` from features [4, 16, 64]: whole, cut short, with gaps, and a single frame."""
    mask = np.ones((4, FRAMES), np.float32)
    mask[1, FRAMES // 2 :], mask[2, ::3], mask[3, 1:] = 0, 0, 0
    return {"features": features, "mask": mask}


def release_traffic(repository: Path) -> None:
    """Point all traffic at the demo versions. `video_encoder` is in no route: it follows the head that pins it."""
    models = (IMAGE_CNN, VIDEO_LSTM, AUDIO_TRANSFORMER, TEXT_TRANSFORMER)
    defaults = {model.modality: model.name for model in models}
    table = TrafficTable(defaults=defaults, models={model.name: Route(stable=VERSION) for model in models})
    write_traffic(repository, table)


def _raw_pixels(graph: ModelProto) -> ModelProto:
    """The Keras networks take raw uint8 crops already; only the name is missing."""
    return take_pixels(graph, Pixels(), source="pixels")


def _card(
    model: TritonModel,
    graph: ModelProto,
    *,
    figures: Figures | None,
    label_order: tuple[str, ...],
    source: str,
    specification: CropInput | FeatureInput | WaveformInput,
    encoder: PinnedModel | None = None,
) -> Card:
    note = f" {figures.note}" if figures and figures.note else ""
    return Card(
        model=model.name,
        version=VERSION,
        modality=model.modality,
        source=source,
        licence="Apache-2.0",
        digest=digest_of(graph.SerializeToString()),
        demo=True,
        input=specification,
        label_order=label_order,
        intended_use=INTENDED_USE,
        limits=DEMO_LIMITS[model.name] + note,
        created=datetime.now(UTC).date().isoformat(),
        calibration=Calibration(method="temperature", temperature=figures.temperature) if figures else None,
        thresholds=figures.thresholds if figures else None,
        metrics=figures.metrics if figures else None,
        encoder=encoder,
    )


def _publish(
    repository: Path,
    model: TritonModel,
    graph: ModelProto,
    card: Card,
    inputs: Mapping[str, NDArray],
    expected: Mapping[str, NDArray],
) -> Card:
    weights = graph.SerializeToString()
    error = check_parity(weights, inputs, expected)
    write_file(repository / model.name / CONFIG_FILE, render(model))
    write_golden(repository, model.name, card.version, inputs=inputs, outputs=run_graph(weights, inputs))
    publish_version(repository, card, weights, replace=True)
    print(f"{model.name} {card.version}: {len(weights) / 1e6:.2f} MB, parity {error:.1e}, {card.digest[:19]}…")
    return card
