"""Classifiers of text: each class that is published, as a small model of that class that was saved to disk."""

import json
import shutil
from functools import cache
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bentos.cards import TrafficTable
from bentos.contract import Modality
from scripts.models.errors import RefusedError
from scripts.models.importing.importer import import_model
from scripts.models.importing.wishes import Wishes
from scripts.models.publish import read_golden, write_traffic
from scripts.models.repository import Repository
from scripts.models.text.packing import read_input, score_texts
from scripts.models.text.text_classifier import TextClassifier, open_graph
from scripts.stack.repository import problems
from tests.fixtures.text_models import KINDS, TOKENS, save_text_model

pytestmark = pytest.mark.integration

# Texts that the check of an import does not look at, each of one window.
UNSEEN = ("The import statement is run.", "yield is for generators, and not for sums", "Nobody knows.", "Żółw i 🐢 ∑")


@pytest.fixture
def repository(tmp_path):
    write_traffic(tmp_path / "models", TrafficTable(defaults={}, models={}))
    return Repository(tmp_path / "models")


@pytest.fixture(scope="module")
def distilbert(tmp_path_factory):
    """A folder to copy from; nobody changes it."""
    return save_text_model(tmp_path_factory.mktemp("sources") / "distilbert", "distilbert")


@pytest.fixture
def folder(distilbert, tmp_path):
    """A folder of one's own, to spoil."""
    return shutil.copytree(distilbert, tmp_path / "source")


def bring(repository, folder, *, dry_run=False, **wishes):
    [imported] = import_model([str(folder)], Wishes(name="essays", **wishes), repository, dry_run=dry_run)
    return imported


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """Brings each kind once: its folder, the repository and what came of it, which nobody changes."""

    @cache
    def brought(kind):
        place = tmp_path_factory.mktemp(kind)
        source = save_text_model(place / "source", kind)
        write_traffic(place / "models", TrafficTable(defaults={}, models={}))
        repository = Repository(place / "models")
        return source, repository, bring(repository, source)

    return brought


def staged(repository, version=1):
    folder = repository.root / "essays" / str(version)
    return (folder / "model.onnx").read_bytes(), (folder / "tokenizer.json").read_text()


def original(folder, text):
    """What a program that follows the documentation of transformers gets."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(**tokenizer(text, return_tensors="pt")).logits
    return torch.softmax(logits, dim=-1)[0, 1].item()


@pytest.mark.parametrize("kind", KINDS)
def test_each_class_answers_as_its_original_with_its_own_tokeniser(brought, kind):
    folder, repository, imported = brought(kind)

    card = imported.card
    assert (card.modality, card.label_order) == (Modality.TEXT, ("Human", "ChatGPT"))
    assert (card.input.tokens, card.calibration.method) == (TOKENS, "none")
    assert card.parity.n >= 10
    assert card.parity.largest <= 1e-5
    assert problems(repository.root) == []
    ours = score_texts(*staged(repository), UNSEEN)["p_fake"][:, 0]
    np.testing.assert_allclose(ours, [original(folder, text) for text in UNSEEN], atol=1e-5)
    assert np.ptp(ours) > 1e-3


def test_a_long_text_is_read_window_by_window_to_its_end(brought):
    _, repository, _ = brought("distilbert")
    weights, tokenizer = staged(repository)
    classifier = TextClassifier(open_graph(weights), tokenizer)
    text = topics["dict"][:3000]
    windows = classifier.windows(text)
    assert len(windows) > 5
    assert [len(window.ids) for window in windows[:-1]] == [TOKENS] * (len(windows) - 1)
    spans = np.concatenate([window.spans for window in windows])
    assert not text[spans[-1][1] :].strip()
    alone = [classifier.judge([[window]])[0].p_fake for window in windows]
    odds = np.log(alone) - np.log1p(-np.asarray(alone))
    mean = np.average(odds, weights=[len(window.counted) for window in windows])
    [score] = classifier.score([text])
    assert score.p_fake == pytest.approx(1 / (1 + np.exp(-mean)), abs=1e-6)


def test_a_second_version_keeps_the_golden_texts(brought, tmp_path):
    folder, first, _ = brought("distilbert")
    repository = Repository(shutil.copytree(first.root, tmp_path / "models"))
    bring(repository, folder)
    inputs, outputs = read_golden(repository.root, "essays", 2)
    assert repository.versions("essays") == (1, 2)
    np.testing.assert_allclose(
        score_texts(*staged(repository, 2), read_input(inputs["text"]))["p_fake"], outputs["p_fake"], atol=1e-6
    )


def test_a_dry_run_and_refusals_leave_nothing(repository, folder, tmp_path):
    assert bring(repository, folder, dry_run=True).card.version == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(RefusedError, match=r"no \.txt or \.md"):
        bring(repository, folder, samples=tmp_path / "empty")
    (tmp_path / "empty" / "old.txt").write_bytes(b"caf\xe9 " * 30)
    with pytest.raises(RefusedError, match=r"old\.txt cannot be read"):
        bring(repository, folder, samples=tmp_path / "empty")
    assert repository.models() == ()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokeniser"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "no tokeniser"),
        (lambda folder: change(folder / "tokenizer_config.json", pad_token=None), "no token for padding"),
        (lambda folder: change(folder / "tokenizer_config.json", model_max_length=4), "sees 4 tokens"),
        (lambda folder: without_unknown(folder, type="BPE", merges=[]), "none for what is unknown"),
        (lambda folder: without_unknown(folder, type="Unigram", unk_id=None), "none for what is unknown"),
        (lambda folder: change(folder / "config.json", id2label={"0": "A", "1": "B"}), "--fake-label"),
        (lambda folder: change(folder / "config.json", problem_type="regression"), "regression"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no weights"), "damaged"),
    ],
    ids=[
        "no-tokeniser",
        "broken-tokeniser",
        "no-padding",
        "short",
        "strange-letters-vanish",
        "strange-letters-fail",
        "labels",
        "regression",
        "weights",
    ],
)
def test_what_cannot_be_brought_is_refused_with_what_to_do(repository, folder, spoil, told):
    spoil(folder)
    with pytest.raises(RefusedError, match=told):
        bring(repository, folder)
    assert repository.models() == ()


def change(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def without_unknown(folder, **model):
    """Write the tokeniser anew as one of another kind, which has no token for what it does not know."""
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    if model["type"] == "Unigram":
        vocabulary = [[word, -1.0] for word in sorted(vocabulary, key=vocabulary.get)]
    tokenizer["model"] = {**model, "vocab": vocabulary}
    file.write_text(json.dumps(tokenizer))
    change(folder / "tokenizer_config.json", unk_token=None)
