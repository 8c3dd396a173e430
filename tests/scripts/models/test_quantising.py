"""A version in fewer bits, proved by the real Bento on a second Triton."""

import json
import shutil

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from scripts.cli import app
from scripts.demo.texts import draw_texts
from scripts.models import history
from scripts.models.errors import RefusedError
from scripts.models.publish import digest_of, read_golden
from scripts.models.quantising import Order, quantise
from scripts.models.repository import Repository
from scripts.models.session import run_graph
from scripts.stack.settings import CHECKOUT, load_settings

SETTINGS = load_settings({})


@pytest.fixture
def repository(tmp_path):
    shutil.copytree(CHECKOUT / "model_repository", tmp_path / "models")
    return Repository(tmp_path / "models")


def files(repository):
    return {
        file: file.stat().st_mtime_ns for file in repository.root.rglob("*") if file.is_file() and file.stat().st_size
    }


@pytest.mark.integration
def test_half_precision_is_staged_with_what_was_found(repository, labelled_faces):
    told = []
    order = Order(model="image_cnn", version=1, precision="fp16", data=labelled_faces, reason="for the GPU")

    done = quantise(repository, order, SETTINGS, tell=told.append)

    card = repository.card("image_cnn", 2)
    assert card == done.card
    assert (card.precision, card.derived_from, card.thresholds) == (
        "fp16",
        1,
        repository.card("image_cnn", 1).thresholds,
    )
    weights = (repository.folder("image_cnn", 2) / "model.onnx").read_bytes()
    assert card.digest == digest_of(weights)
    [attempt] = done.attempts
    assert attempt.agreement.n == 48
    assert attempt.agreement.agreement >= 0.99
    assert 0 < attempt.agreement.largest == card.parity.largest < 0.05
    assert card.metrics.n == 48
    assert card.metrics.set == "faces"
    assert done.unjudged == 1
    # The golden answers are those of its own, and nothing is sent to it.
    inputs, answers = read_golden(repository.root, "image_cnn", 2)
    assert answers["p_fake"] == pytest.approx(run_graph(weights, inputs)["p_fake"], abs=1e-4)
    assert repository.listed("image_cnn") == (1,)
    [event] = history.read(repository.root)
    assert (event.action, event.version, event.reason) == ("stage", 2, "for the GPU")
    assert any("equal verdicts" in line for line in told)


@pytest.mark.integration
def test_bits_that_change_verdicts_are_refused_with_the_figures(repository, labelled_faces, tmp_path):
    # Ranges that were taken from nothing but night cut off what is in a picture by day.
    night = tmp_path / "night"
    night.mkdir()
    for number in range(2):
        cv2.imwrite(str(night / f"{number}.png"), np.full((240, 240, 3), number, np.uint8))
    before = files(repository)
    order = Order(
        model="image_cnn", version=1, precision="int8", data=labelled_faces, calibration_data=night, dry_run=False
    )

    with pytest.raises(RefusedError, match=r"not staged.*equal verdicts over 48 media.*AUC") as told:
        quantise(repository, order, SETTINGS)

    assert "--calibration-data" in str(told.value)
    assert repository.versions("image_cnn") == (1,)
    assert files(repository) == before


@pytest.mark.integration
def test_a_model_of_texts_is_brought_to_int8_row_by_row_and_all_texts_count(repository, tmp_path):
    texts = draw_texts(99, "test", pairs=12)
    for number, (piece, fake) in enumerate(zip(texts.pieces, texts.fake, strict=True)):
        file = tmp_path / "texts" / ("fake" if fake else "real") / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(piece)
    order = Order(model="text_transformer", version=1, precision="int8", data=tmp_path / "texts", dry_run=True)

    done = quantise(repository, order, SETTINGS)

    [attempt] = done.attempts
    assert (attempt.way, attempt.agreement.n) == ("int8 with a range for each row", 24)
    assert (done.card.precision, done.card.derived_from) == ("int8", 1)
    assert 0 < attempt.agreement.largest < 0.05
    assert attempt.megabytes < done.megabytes_before


@pytest.mark.parametrize(
    ("model", "precision", "words"),
    [
        ("video_encoder", "int8", "one half of a video model"),
        ("video_lstm", "fp16", "one half of a video model"),
        ("image_cnn", "fp32", "in fp32 already"),
    ],
)
def test_what_cannot_be_brought_is_refused(repository, labelled_faces, model, precision, words):
    with pytest.raises(RefusedError, match=words):
        quantise(repository, Order(model=model, version=1, precision=precision, data=labelled_faces), SETTINGS)


def test_too_few_media_prove_nothing(repository, tmp_path):
    for kind in ("real", "fake"):
        (tmp_path / "few" / kind).mkdir(parents=True)
        (tmp_path / "few" / kind / "one.jpg").write_bytes(b"")

    with pytest.raises(RefusedError, match="20 of both classes"):
        quantise(repository, Order(model="image_cnn", version=1, precision="fp16", data=tmp_path / "few"), SETTINGS)


def test_the_command_tells_why_and_ends_with_one(repository, monkeypatch, labelled_faces):
    monkeypatch.setenv("BONAFIDE_MODEL_REPOSITORY", str(repository.root))
    arguments = [
        "models",
        "quantise",
        "video_encoder:1",
        "--precision",
        "int8",
        "--data",
        str(labelled_faces),
        "--json",
    ]

    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["code"] == "refused"
