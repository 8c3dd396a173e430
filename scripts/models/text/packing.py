"""What a version of a text model has beside its graph: its tokeniser, and the code that runs both in Triton."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bentos.contract import Modality
from scripts.models.text import text_classifier
from scripts.models.text.text_classifier import TextClassifier, open_graph, stack
from scripts.models.triton_config import PYTHON_BACKEND, Batching, Tensor, TritonModel

TOKENIZER_FILE: Final = "tokenizer.json"
TEXT_INPUT: Final = Tensor(name="text", dtype="STRING", shape=(1,))
P_FAKE: Final = Tensor(name="p_fake", dtype="FP32", shape=(1,))
TOKEN_OUTPUTS: Final = (
    Tensor(name="token_p_fake", dtype="FP32", shape=(-1,)),
    Tensor(name="token_spans", dtype="INT32", shape=(-1, 2)),
)

_CODE: Final = Path(__file__).parent
_SECOND: Final = 1_000_000


def files_of(tokenizer: str) -> dict[str, bytes]:
    """Return what lies beside `model.onnx`, by name: the tokeniser, and the code that runs it and the graph."""
    return {
        TOKENIZER_FILE: tokenizer.encode(),
        "model.py": (_CODE / "triton_model.py").read_bytes(),
        f"{text_classifier.__name__.rpartition('.')[2]}.py": Path(text_classifier.__file__).read_bytes(),
    }


def describe(name: str, *, title: str, description: str, tokens: bool, threads: int = 2) -> TritonModel:
    """Return how Triton runs a text model; `tokens`: its graph scores each token too."""
    return TritonModel(
        name=name,
        title=title,
        description=description,
        modality=Modality.TEXT,
        inputs=[TEXT_INPUT],
        outputs=[P_FAKE, *(TOKEN_OUTPUTS if tokens else ())],
        batching=Batching(maximum=32, preferred=(8, 16, 32), delay_us=500, queue=128, timeout_us=30 * _SECOND),
        parameters={"intra_op_thread_count": str(threads), "allow_spinning": "0"},
        backend=PYTHON_BACKEND,
    )


def as_input(texts: Sequence[str]) -> NDArray[np.bytes_]:
    """Return texts as the input `text`, [n, 1] of bytes, in a form that can be kept as golden inputs."""
    return np.array([[text.encode()] for text in texts], np.bytes_)


def read_input(inputs: NDArray[Any]) -> list[str]:
    """Return the texts of an input `text`, [n, 1] of bytes."""
    return [bytes(value).decode() for value in inputs[:, 0]]


def score_texts(
    weights: bytes, tokenizer: str, texts: Sequence[str], *, parameters: Mapping[str, str] | None = None
) -> dict[str, NDArray[Any]]:
    """Return what a version answers to texts, by the names of its outputs, without a Triton.

    Raises:
        ValueError: The graph and the tokeniser do not belong together, or a text cannot be scored.
    """
    classifier = TextClassifier(open_graph(weights, parameters), tokenizer)
    answers = stack(classifier.score(texts))
    return answers if "token_p_fake" in classifier.outputs else {"p_fake": answers["p_fake"]}
