"""Video models of Keras: frame encoders with heads of every kind, and networks of whole clips that are divided."""

import shutil

import keras
import numpy as np
import pytest
from keras import layers

from scripts.demo.samples import MEDIA
from scripts.models.errors import RefusedError
from scripts.models.importing.importer import import_model
from scripts.models.importing.keras_split import encoder_for
from scripts.models.importing.wishes import Wishes
from scripts.models.publish import read_golden
from scripts.models.session import run_graph
from tests.fixtures.keras_networks import (
    FEATURES,
    FRAMES,
    SIDE,
    classifier,
    clip_network,
    head,
    masked_head,
    two_headed,
)

# Keras asks TensorFlow for arrays in a way that numpy has given up, wherever it reads or writes weights.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

MASKS = np.asarray([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [0, 1, 1, 0, 1, 1], [0, 0, 1, 0, 0, 0]], np.float32)


@pytest.fixture(scope="module")
def films():
    """Clips that the check of an import does not look at: uint8 [4, T, SIDE, SIDE, 3], moving blots."""
    rng = np.random.default_rng(9)
    light = np.linspace(-120, 120, 4).reshape(4, 1, 1, 1, 1)
    blots = light + rng.integers(0, 256, (4, 1, 4, 4, 3)) + rng.integers(-60, 60, (4, FRAMES, 4, 4, 3))
    return np.clip(np.kron(blots, np.ones((1, 1, SIDE // 4, SIDE // 4, 1))), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A classifier of frames on disk, whose layer `features` a head takes."""
    file = tmp_path_factory.mktemp("encoder") / "finetuned_model.h5"
    classifier(layers.Dense(1, activation="sigmoid")).save(file)
    return file


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with one video and something else."""
    folder = tmp_path_factory.mktemp("recorded")
    shutil.copy(MEDIA / "forged.mp4", folder)
    (folder / "notes.txt").write_text("No video.")
    return folder


def bring(repository, *files, **wishes):
    return import_model([str(file) for file in files], Wishes(name="video_x", fake_labels=("1",), **wishes), repository)


def saved(network, tmp_path, name="video_model_v2.keras"):
    network.save(tmp_path / name)
    return tmp_path / name


def weights(repository, model, version=1):
    return (repository.root / f"{model}/{version}/model.onnx").read_bytes()


def served(repository, films, masks):
    """What the two graphs answer, one after the other as the Bento asks them."""
    features = run_graph(weights(repository, "video_x_encoder"), {"crop": films.reshape(-1, SIDE, SIDE, 3)})["features"]
    given = {"features": features.reshape(len(films), FRAMES, -1), "mask": masks}
    return run_graph(weights(repository, "video_x"), given), given


def encoded(encoder, films):
    network = keras.saving.load_model(encoder, compile=False)
    part = keras.Model(network.inputs[0], network.get_layer("features").output)
    return np.asarray(part(films.reshape(-1, SIDE, SIDE, 3).astype(np.float32))).reshape(len(films), FRAMES, -1)


def evenly(features, masks):
    """The frames that are there, repeated evenly, as sampling FRAMES of a shorter clip would give them."""
    rows = [steps[mask > 0] for steps, mask in zip(features, masks, strict=True)]
    return np.stack([each[np.arange(FRAMES) * len(each) // FRAMES] for each in rows])


@pytest.fixture(scope="module")
def given(encoder, films, recorded):
    """What a video model is brought with."""
    return encoder, films, recorded


HEADS = {
    "lstm": lambda: head(layers.LSTM(6)),
    "two-grus-and-dense": lambda: head(
        layers.GRU(6, return_sequences=True), layers.Dropout(0.3), layers.GRU(5), layers.Dense(4, activation="relu")
    ),
    "simple-rnn-of-any-length": lambda: head(layers.SimpleRNN(6), frames=None),
    "bidirectional": lambda: head(layers.Bidirectional(layers.LSTM(4)), layers.BatchNormalization()),
    "attention-free-pooling": lambda: head(layers.LSTM(5, return_sequences=True), layers.GlobalAveragePooling1D()),
}
WITH_FRAMES = {"lstm", "two-grus-and-dense", "simple-rnn-of-any-length"}


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_without_a_mask_sees_missing_frames_made_up_for(repository, tmp_path, given, kind):
    network = HEADS[kind]()
    encoder, films, recorded = given

    first, second = bring(repository, encoder, saved(network, tmp_path), frames=FRAMES, samples=recorded)

    answers, _ = served(repository, films, MASKS)
    features = evenly(encoded(encoder, films), MASKS)
    expected = np.asarray(network(features, training=False))
    assert np.ptp(expected) > 1e-4
    np.testing.assert_allclose(answers["p_fake"], expected, atol=2e-6)
    assert ("frame_p_fake" in answers) == (kind in WITH_FRAMES)
    assert (first.card.model, second.card.model) == ("video_x_encoder", "video_x")
    assert second.card.encoder.digest == first.card.digest
    assert (second.card.encoder.model, second.card.encoder.version) == ("video_x_encoder", 1)
    assert (second.card.input.frames, second.card.input.features) == (FRAMES, FEATURES)
    assert (first.card.thresholds, second.card.parity.largest <= 1e-4) == (None, True)


def test_the_score_of_a_frame_is_that_of_the_clip_up_to_it(repository, tmp_path, given):
    network = head(layers.LSTM(6))
    encoder, films, recorded = given
    bring(repository, encoder, saved(network, tmp_path), samples=recorded)
    any_length = keras.Sequential(
        [keras.Input((None, FEATURES)), layers.LSTM(6), layers.Dense(1, activation="sigmoid")]
    )
    any_length.set_weights(network.get_weights())

    answers, steps = served(repository, films, np.ones((4, FRAMES), np.float32))

    for step in range(FRAMES):
        upto = np.asarray(any_length(steps["features"][:, : step + 1], training=False))
        np.testing.assert_allclose(answers["frame_p_fake"][:, step], upto[:, 0], atol=1e-5)


@pytest.mark.parametrize("recurrent", [layers.GRU, layers.LSTM], ids=["gru-mask-second", "lstm-mask-first"])
def test_a_mask_of_the_heads_own_is_the_contracts(repository, tmp_path, given, recurrent):
    network = masked_head(recurrent, mask_first=recurrent is layers.LSTM)
    encoder, films, recorded = given

    bring(repository, encoder, saved(network, tmp_path), samples=recorded)

    answers, steps = served(repository, films, MASKS)
    ends = [steps["features"], MASKS > 0]
    expected = np.asarray(network(ends[::-1] if recurrent is layers.LSTM else ends, training=False))[:, 1:]
    np.testing.assert_allclose(answers["p_fake"], expected, atol=1e-5)
    assert answers["frame_p_fake"].shape == (4, FRAMES)
    spoilt = np.where(MASKS[..., None] > 0, steps["features"], np.nan).astype(np.float32)
    again = run_graph(weights(repository, "video_x"), {"features": spoilt, "mask": MASKS})
    np.testing.assert_allclose(again["p_fake"], answers["p_fake"], atol=1e-6)


def test_a_masking_layer_skips_steps_without_a_frame(repository, tmp_path, given):
    network = head(layers.Masking(-1.0), layers.LSTM(6))
    encoder, films, recorded = given

    bring(repository, encoder, saved(network, tmp_path), samples=recorded)

    answers, steps = served(repository, films, MASKS)
    filled = np.where(MASKS[..., None] > 0, steps["features"], -1.0)
    np.testing.assert_allclose(answers["p_fake"], np.asarray(network(filled, training=False)), atol=1e-5)


def test_a_head_that_scores_frames_itself_keeps_its_scores(repository, tmp_path, given):
    network = two_headed()
    encoder, films, recorded = given

    bring(repository, encoder, saved(network, tmp_path), samples=recorded)

    answers, steps = served(repository, films, MASKS)
    frames, clip = (np.asarray(each) for each in network(evenly(steps["features"], MASKS), training=False))
    np.testing.assert_allclose(answers["p_fake"], 1 / (1 + np.exp(-clip)), atol=1e-5)
    np.testing.assert_allclose(answers["frame_p_fake"][0], 1 / (1 + np.exp(-frames[0, :, 0])), atol=1e-5)


@pytest.mark.parametrize(
    "behind",
    [
        [layers.LSTM(5), layers.Dense(2, activation="softmax")],
        [layers.Bidirectional(layers.GRU(4)), layers.Dense(1, activation="sigmoid")],
        [layers.LayerNormalization(), layers.Conv1D(4, 3), layers.GlobalMaxPooling1D(), layers.Dense(1)],
    ],
    ids=["lstm", "bidirectional-gru", "convolution-over-time"],
)
def test_a_network_of_whole_clips_is_divided_and_answers_the_same(repository, tmp_path, given, behind):
    network = clip_network(*behind)
    _, films, recorded = given

    first, second = bring(repository, saved(network, tmp_path), samples=recorded)

    answers, _ = served(repository, films, np.ones((4, FRAMES), np.float32))
    raw = np.asarray(network(films.astype(np.float32), training=False))
    expected = 1 / (1 + np.exp(-raw)) if isinstance(behind[-2], layers.GlobalMaxPooling1D) else raw[:, -1:]
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(answers["p_fake"], expected, atol=1e-4)
    assert any("Rescaling" in note for note in first.notes)
    assert second.card.encoder.digest == first.card.digest


def test_the_projects_own_clips_will_do_and_golden_answers_cover_missing_frames(repository, tmp_path, encoder):
    bring(repository, encoder, saved(head(layers.LSTM(6)), tmp_path))

    inputs, outputs = read_golden(repository.root, "video_x", 1)

    assert min(inputs["mask"].sum(axis=1)) == 1
    np.testing.assert_array_equal(run_graph(weights(repository, "video_x"), inputs)["p_fake"], outputs["p_fake"])


def test_the_layer_of_an_encoder_is_asked_for_where_several_would_do(repository, tmp_path, films, recorded):
    twice = classifier(layers.Dense(FEATURES, name="second"), layers.Dense(1, activation="sigmoid"))
    files = saved(twice, tmp_path, "encoder.keras"), saved(head(layers.LSTM(6)), tmp_path)

    with pytest.raises(RefusedError, match="features, second"):
        bring(repository, *files)
    with pytest.raises(RefusedError, match="pool"):
        bring(repository, *files, layer="pool")
    bring(repository, *files, layer="second", samples=recorded)

    features = np.asarray(keras.Model(twice.inputs[0], twice.get_layer("second").output)(films[0].astype(np.float32)))
    answers = run_graph(weights(repository, "video_x_encoder"), {"crop": films[0]})["features"]
    np.testing.assert_allclose(answers, features, atol=1e-4)


def test_features_of_a_network_inside_the_encoder_are_found(films):
    inner = classifier()
    pixels = keras.Input((SIDE, SIDE, 3))
    outer = keras.Model(pixels, layers.Dense(1)(layers.Dropout(0.1)(inner(pixels))))

    part, note = encoder_for(outer, FEATURES, Wishes(name="video_x"))

    frames = films[0].astype(np.float32)
    np.testing.assert_allclose(np.asarray(part(frames)), np.asarray(inner(frames)), atol=1e-5)
    assert inner.name in note


def test_a_folder_without_videos_is_refused(repository, tmp_path, encoder):
    with pytest.raises(RefusedError, match="no video of 6 frames"):
        bring(repository, encoder, saved(head(layers.LSTM(3)), tmp_path), samples=tmp_path)
