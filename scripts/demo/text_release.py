"""Builds and publishes `text_transformer`: its data, training, calibration, graph, tokeniser and golden answers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import torch
from tokenizers import Tokenizer

from bentos.cards import Calibration, Card, TextInput
from bentos.contract import Modality
from scripts.demo.catalogue import DEMO_LIMITS, INTENDED_USE, TEXT_TRANSFORMER
from scripts.demo.release import VERSION, Figures
from scripts.demo.shapes import CHARACTERS, TOKENS
from scripts.demo.text_model import TextDetector
from scripts.demo.texts import draw_texts, genuine_documents
from scripts.models.calibration import sigmoid
from scripts.models.graph import Logits, give_p_fake
from scripts.models.publish import CONFIG_FILE, digest_of, publish_version, write_file, write_golden
from scripts.models.session import MAX_PARITY_ERROR, ParityError
from scripts.models.text.exporting import export_tokens
from scripts.models.text.packing import as_input, files_of, score_texts
from scripts.models.triton_config import render

LABELS: Final = ("written", "sampled")
_SHORT: Final = 200
"""Characters that fit into one window of tokens, whatever they are."""


def release_text(repository: Path, detector: TextDetector, tokenizer: Tokenizer, figures: Figures, seed: int) -> Card:
    """Publish the version: graph, tokeniser, the code that runs them, card and golden answers.

    Raises:
        ParityError: The graph does not answer what the network does.
    """
    graph = export_tokens(detector, inputs=["input_ids", "attention_mask"], outputs=["text_logit", "token_logits"])
    reading = Logits(activation="sigmoid", fake=1, temperature=figures.temperature)
    graph = give_p_fake(graph, reading, source="text_logit")
    graph = give_p_fake(graph, reading, source="token_logits", name="token_p_fake")
    weights, files = graph.SerializeToString(), files_of(tokenizer.to_str())
    golden = golden_texts(seed)
    error = _check_parity(weights, tokenizer, detector, [text[:_SHORT] for text in golden], figures.temperature)
    card = Card(
        model=TEXT_TRANSFORMER.name,
        version=VERSION,
        modality=Modality.TEXT,
        source="DistilBERT with a convolution before it, trained by scripts/demo on the documentation that comes with "
        "Python and on babble sampled from its words",
        licence="Apache-2.0",
        digest=digest_of(weights),
        demo=True,
        input=TextInput(characters=CHARACTERS, tokens=TOKENS),
        label_order=LABELS,
        intended_use=INTENDED_USE,
        limits=DEMO_LIMITS[TEXT_TRANSFORMER.name],
        created=datetime.now(UTC).date().isoformat(),
        calibration=Calibration(method="temperature", temperature=figures.temperature),
        thresholds=figures.thresholds,
        metrics=figures.metrics,
        files={name: digest_of(data) for name, data in files.items()},
    )
    write_file(repository / card.model / CONFIG_FILE, render(TEXT_TRANSFORMER))
    answers = score_texts(weights, tokenizer.to_str(), golden)
    write_golden(repository, card.model, VERSION, inputs={"text": as_input(golden)}, outputs=answers)
    publish_version(repository, card, weights, files=files, replace=True)
    print(f"{card.model} {VERSION}: {len(weights) / 1e6:.2f} MB, parity {error:.1e}, {card.digest[:19]}…")
    return card


def golden_texts(seed: int) -> list[str]:
    """Texts of the test part: a genuine one, a sampled one, one of several windows, and a few words."""
    genuine, sampled = draw_texts(seed, "test", 1).pieces
    longest = max(genuine_documents("test"), key=len)
    return [genuine, sampled, longest[:2000], "A few words."]


def _check_parity(
    weights: bytes, tokenizer: Tokenizer, detector: TextDetector, texts: Sequence[str], temperature: float
) -> float:
    """Largest difference of p_fake between the graph and the network, over texts of one window each."""
    answers = score_texts(weights, tokenizer.to_str(), texts)["p_fake"][:, 0]
    rows = [tokenizer.encode(text) for text in texts]
    with torch.inference_mode():
        # One by one, so that the expected answers do not hang on padding.
        logits = [float(detector(torch.tensor([row.ids]), torch.tensor([row.attention_mask]))[0]) for row in rows]
    worst = float(np.abs(answers - sigmoid(np.asarray(logits) / temperature)).max())
    if not worst <= MAX_PARITY_ERROR:
        raise ParityError(f"the graph differs from its original by {worst:.2e}, allowed are {MAX_PARITY_ERROR:.0e}")
    return worst
