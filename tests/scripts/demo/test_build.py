from pathlib import Path

import numpy as np
import pytest

from bentos.cards import read_card, read_traffic
from scripts.demo.build import Plan, Sizes, build
from scripts.models.publish import MODEL_FILE, digest_of, read_golden
from scripts.models.session import run_graph
from scripts.models.text.packing import TOKENIZER_FILE, read_input, score_texts

pytestmark = pytest.mark.integration

TINY = Plan(
    image=Sizes(pairs={"train": 8, "calibration": 4, "test": 4}, epochs=1),
    video=Sizes(pairs={"train": 4, "calibration": 2, "test": 2}, epochs=1),
    audio=Sizes(pairs={"train": 8, "calibration": 4, "test": 4}, epochs=1),
    text=Sizes(pairs={"train": 64, "calibration": 24, "test": 24}, epochs=1),
)


# The converter below Keras and torch's exporter load modules that warn about Python's own future.
@pytest.mark.filterwarnings("default")
def test_a_small_build_publishes_a_whole_repository(tmp_path: Path) -> None:
    build(tmp_path, TINY)

    table = read_traffic((tmp_path / "serving.json").read_bytes())
    assert set(table.models) == {"image_cnn", "video_lstm", "audio_transformer", "text_transformer"}
    for model in table.models:
        folder = tmp_path / model / "1"
        weights = (folder / MODEL_FILE).read_bytes()
        assert read_card((folder / "card.json").read_bytes()).digest == digest_of(weights)
        inputs, outputs = read_golden(tmp_path, model, 1)
        if model == "text_transformer":
            tokenizer = (folder / TOKENIZER_FILE).read_text(encoding="utf-8")
            answers = score_texts(weights, tokenizer, read_input(inputs["text"]))
        else:
            answers = run_graph(weights, inputs)
        assert all(np.allclose(answers[name], values, atol=1e-5) for name, values in outputs.items())
