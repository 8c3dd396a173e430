"""What is committed in `model_repository/`: that it keeps the contract, and that it tells genuine from forged."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from bentos.cards import Card, CropInput, FeatureInput, TextInput, WaveformInput, read_card, read_traffic
from bentos.contract import Modality
from bentos.faces import find_faces
from bentos.media.crops import cut, face_square
from bentos.media.options import TextOptions
from bentos.media.prepared import CropShape
from bentos.media.text import prepare_text
from bentos.scoring import score_text
from scripts.demo import samples
from scripts.demo.photographs import SPLIT, load_photograph
from scripts.models.publish import CONFIG_FILE, MODEL_FILE, digest_of, read_golden
from scripts.models.session import open_graph, run_graph
from scripts.models.text.packing import TOKENIZER_FILE, read_input, score_texts
from scripts.models.text.text_classifier import window_tokens
from scripts.models.triton_config import parse
from scripts.stack.settings import CHECKOUT

REPOSITORY = CHECKOUT / "model_repository"
MODELS = ("image_cnn", "video_encoder", "video_lstm", "audio_transformer", "text_transformer")
JUDGES = ("image_cnn", "video_lstm", "audio_transformer", "text_transformer")


@cache
def card(model: str) -> Card:
    return read_card((REPOSITORY / model / "1" / "card.json").read_bytes())


@cache
def weights(model: str) -> bytes:
    return (REPOSITORY / model / "1" / MODEL_FILE).read_bytes()


@cache
def graph(model: str) -> InferenceSession:
    return open_graph(weights(model))


@cache
def tokenizer() -> str:
    return (REPOSITORY / "text_transformer" / "1" / TOKENIZER_FILE).read_text(encoding="utf-8")


def answered(model: str, inputs: Mapping[str, NDArray], batch: int) -> Mapping[str, NDArray]:
    """What a model answers to its inputs in batches of that size; that of texts is asked all at once or one by one."""
    if model != "text_transformer":
        return run_graph(graph(model), inputs, batch=batch)
    texts = read_input(inputs["text"])
    if batch >= len(texts):
        return score_texts(weights(model), tokenizer(), texts)
    alone = [score_texts(weights(model), tokenizer(), [text]) for text in texts]
    longest = max(answers["token_p_fake"].shape[1] for answers in alone)
    return {
        "p_fake": np.concatenate([answers["p_fake"] for answers in alone]),
        "token_p_fake": np.concatenate([padded(answers["token_p_fake"], longest) for answers in alone]),
        "token_spans": np.concatenate([padded(answers["token_spans"], longest) for answers in alone]),
    }


def padded(row: NDArray, longest: int) -> NDArray:
    ends = [(0, 0), (0, longest - row.shape[1]), *([(0, 0)] * (row.ndim - 2))]
    return np.pad(row, ends, constant_values=-1)


def face_crop(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The crop of the only face in a picture, as a Bento cuts it: uint8 [1, H, W, 3]."""
    wanted = card("image_cnn").input
    assert isinstance(wanted, CropInput)
    shape = CropShape(
        height=wanted.height, width=wanted.width, resize_filter=wanted.resize_filter, margin=wanted.margin
    )
    (face,) = find_faces(picture)
    return cut(picture, [face_square(face, shape.margin)], shape)


def decoded(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)


def image_score(picture: NDArray[np.uint8]) -> float:
    return float(run_graph(graph("image_cnn"), {"crop": face_crop(picture)})["p_fake"][0, 0])


@pytest.mark.parametrize("model", MODELS)
def test_the_card_is_about_these_weights_and_says_what_they_are_not(model: str) -> None:
    assert card(model).model == model
    assert card(model).digest == digest_of(weights(model))
    assert card(model).demo
    assert "not forensic" in card(model).intended_use
    # Exporters note stack traces, with the paths of the machine they ran on.
    assert b"site-packages" not in weights(model)


@pytest.mark.parametrize("model", JUDGES)
def test_every_judge_tells_held_out_media_apart_and_says_how_well(model: str) -> None:
    metrics, thresholds = card(model).metrics, card(model).thresholds
    assert metrics is not None
    assert thresholds is not None
    assert metrics.auc >= 0.9
    assert metrics.n >= 300
    assert metrics.ece <= 0.1
    assert thresholds.low <= 0.5 <= thresholds.high


@pytest.mark.parametrize("model", MODELS)
def test_golden_inputs_get_their_golden_answers_alone_and_in_a_batch(model: str) -> None:
    inputs, expected = read_golden(REPOSITORY, model, 1)
    for batch in (1, 64):
        answers = answered(model, inputs, batch)
        for name, values in expected.items():
            np.testing.assert_allclose(answers[name], values, atol=1e-4 if name == "features" else 1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_triton_is_told_the_shapes_that_the_card_and_the_graph_have(model: str) -> None:
    config = parse((REPOSITORY / model / CONFIG_FILE).read_bytes())
    inputs, outputs = read_golden(REPOSITORY, model, 1)
    for ends, golden in ((config.input, inputs), (config.output, outputs)):
        assert {tensor.name for tensor in ends} == golden.keys()
        for tensor in ends:
            shape = golden[tensor.name].shape[1:]
            assert len(tensor.dims) == len(shape)
            assert all(want in (-1, got) for want, got in zip(tensor.dims, shape, strict=True))
    match card(model).input:
        case CropInput(height=height, width=width):
            assert inputs["crop"].shape[1:3] == (height, width)
        case FeatureInput(frames=frames, features=features):
            assert inputs["features"].shape[1:] == (frames, features)
        case WaveformInput(samples=samples_, hop=hop):
            assert inputs["waveform"].shape[1:] == (samples_,)
            assert 0 < hop <= samples_
        case TextInput(tokens=tokens):
            assert window_tokens(tokenizer()) == tokens
    assert config.backend == ("python" if model == "text_transformer" else "onnxruntime")
    assert list(config.version_policy.specific.versions) == [1]
    assert config.dynamic_batching.default_queue_policy.max_queue_size >= 64
    assert config.dynamic_batching.default_queue_policy.default_timeout_microseconds > 0
    assert {"modality", "title", "description", "intra_op_thread_count"} <= set(config.parameters)
    assert config.parameters["modality"].string_value == card(model).modality


def test_traffic_goes_to_versions_that_are_there_and_the_video_pair_belongs_together() -> None:
    table = read_traffic((REPOSITORY / "serving.json").read_bytes())
    assert set(table.models) == set(MODELS) - {"video_encoder"}
    for model, route in table.models.items():
        assert (REPOSITORY / model / str(route.stable) / MODEL_FILE).is_file()
    assert {modality: card(model).modality for modality, model in table.defaults.items()} == {
        modality: modality for modality in Modality
    }
    pinned = card("video_lstm").encoder
    assert pinned is not None
    assert (pinned.model, pinned.version, pinned.digest) == ("video_encoder", 1, card("video_encoder").digest)


def test_the_repository_is_small_enough_to_be_committed() -> None:
    files: list[Path] = [path for path in REPOSITORY.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 25e6


def test_a_photograph_that_was_never_trained_on_passes_and_its_forgeries_do_not() -> None:
    assert "astronaut.png" in SPLIT["test"]
    thresholds = card("image_cnn").thresholds
    assert thresholds is not None
    genuine = [image_score(decoded(samples.genuine_image(seed))) for seed in range(8)]
    forged = [image_score(decoded(samples.forged_image(seed))) for seed in range(8)]
    assert image_score(load_photograph("astronaut.png")) < 0.5
    assert np.mean(np.asarray(genuine) < 0.5) >= 0.85
    assert np.mean(np.asarray(forged) >= 0.5) >= 0.85


def test_the_sample_media_get_the_verdicts_that_their_names_promise() -> None:
    for kind, is_right in (("genuine", lambda p, t: p < t.low), ("forged", lambda p, t: p >= t.high)):
        picture = decoded((samples.MEDIA / f"{kind}.jpg").read_bytes())
        assert is_right(image_score(picture), card("image_cnn").thresholds)
        assert is_right(clip_score(samples.MEDIA / f"{kind}.mp4"), card("video_lstm").thresholds)
        assert is_right(sound_score(samples.MEDIA / f"{kind}.wav"), card("audio_transformer").thresholds)
        assert is_right(text_score(samples.MEDIA / f"{kind}.txt"), card("text_transformer").thresholds)


def clip_score(path: Path) -> float:
    """Score of sixteen frames, evenly sampled, of the only face in a clip."""
    with av.open(path) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    sampled = [frames[index] for index in np.linspace(0, len(frames) - 1, 16).astype(int)]
    crops = np.concatenate([face_crop(np.asarray(frame, np.uint8)) for frame in sampled])
    features = run_graph(graph("video_encoder"), {"crop": crops})["features"]
    sequence: Mapping[str, NDArray] = {"features": features[None], "mask": np.ones((1, 16), np.float32)}
    return float(run_graph(graph("video_lstm"), sequence)["p_fake"][0, 0])


def sound_score(path: Path) -> float:
    """Mean score of the windows of a clip, half a window apart."""
    wanted = card("audio_transformer").input
    assert isinstance(wanted, WaveformInput)
    with av.open(path) as container:
        samples_ = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    sound = samples_.astype(np.float32) / 32768
    starts = range(0, len(sound) - wanted.samples + 1, wanted.hop)
    windows = np.stack([sound[start : start + wanted.samples] for start in starts])
    return float(run_graph(graph("audio_transformer"), {"waveform": windows})["p_fake"].mean())


def text_score(path: Path) -> float:
    """Score of a text by its passages, as the Bento scores them."""
    wanted = card("text_transformer").input
    assert isinstance(wanted, TextInput)
    passages = prepare_text(path, TextOptions(characters=wanted.characters)).passages
    return score_text(score_texts(weights("text_transformer"), tokenizer(), passages)["p_fake"][:, 0].tolist())
