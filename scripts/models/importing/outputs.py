"""How to read the last layer of a network that came as a file: logits or probabilities, and which label means fake."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from scripts.models.errors import RefusedError
from scripts.models.graph_parts import end_of, shape_of
from scripts.models.graph_scores import Scores, scores_of
from scripts.models.importing.labels import Reading, read_labels, read_single
from scripts.models.importing.wishes import Wishes

CLASS_NAMES: Final = "class_indices.json"
"""File beside a network with the names of its labels: the `class_indices` of Keras's generators, or number by name."""
MOST_LABELS: Final = 20
_PAIR: Final = 2


def read_output(
    model: ModelProto, output: str, wishes: Wishes, *, beside: Path, count: int | None = None
) -> tuple[Scores, Reading]:
    """Say what an output holds, [batch, K], and how p_fake is read from it; names of labels may lie beside the file.

    `count` is K where the output has more axes than that, one for the frames of a clip.

    Raises:
        RefusedError: It is no classifier's, or it is unclear what it holds or which label means fake.
    """
    count = count or label_count(model, output)
    scores = _scores(model, output, count, wishes)
    names = class_names(beside, count)
    if count == 1:
        reading = read_single(names[1] if names else None, wishes.fake_labels)
    else:
        reading = read_labels(names or [f"LABEL_{index}" for index in range(count)], wishes.fake_labels)
    return scores, reading


def label_count(model: ModelProto, output: str) -> int:
    """Return how many values an output gives of each medium. Raises `RefusedError` where a classifier gives others."""
    shape = shape_of(end_of(model.graph.output, output))
    count = shape[-1] if len(shape) > 1 else 1
    if not isinstance(count, int) or any(size != 1 for size in shape[1:-1]):
        raise RefusedError(
            f"The output has the shape {shape}. A classifier gives one row of scores for each medium; bring the "
            "whole network and not a part of it."
        )
    if count > MOST_LABELS:
        raise RefusedError(
            f"The network gives {count} values, so it is no classifier of real and fake. If it is the frame encoder of "
            "a video model, give its head as a second file; else bring the fine-tuned model."
        )
    return count


def p_fake_of(values: NDArray, scores: Scores, reading: Reading) -> NDArray[np.float64]:
    """p_fake, [n, …], of what an original answered, [n, …, K]; in float64, and apart from how a graph does it."""
    raw = np.asarray(values, np.float64)
    if reading.activation == "sigmoid":
        high = raw[..., 0] if scores == "sigmoid" else 1 / (1 + np.exp(-raw[..., 0]))
        return high if reading.fake == (1,) else 1 - high
    if scores == "logits":
        powers = np.exp(raw - raw.max(axis=-1, keepdims=True))
        raw = powers / powers.sum(axis=-1, keepdims=True)
    return raw[..., list(reading.fake)].sum(axis=-1)


def class_names(beside: Path, count: int) -> tuple[str, ...] | None:
    """Names of the labels in `class_indices.json` in the folder of a file; None where there is none.

    With one output value there are two names, for a low and for a high one.

    Raises:
        RefusedError: It does not name as many labels as there are.
    """
    file = beside.parent / CLASS_NAMES
    if not file.is_file():
        return None
    try:
        names = _by_number(json.loads(file.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise RefusedError(f"{file} cannot be read as names of labels: {error}. Mend it or take it away.") from error
    wanted = max(count, _PAIR)
    if sorted(names) != list(range(wanted)):
        raise RefusedError(
            f"{file} does not name the labels 0 to {wanted - 1}, which the network has. Mend it or take it away."
        )
    return tuple(names[number] for number in range(wanted))


def _by_number(content: Any) -> dict[int, str]:
    """Names by number, from `{"fake": 0, …}`, `{"0": "fake", …}` or `["fake", …]`. Raises `ValueError`."""
    match content:
        case Mapping() if all(isinstance(value, int) for value in content.values()):
            return {int(number): str(name) for name, number in content.items()}
        case Mapping():
            return {int(number): str(name) for number, name in content.items()}
        case Sequence() if not isinstance(content, str):
            return {number: str(name) for number, name in enumerate(content)}
        case _:
            raise ValueError("it is neither an object nor a list")


def _scores(model: ModelProto, output: str, count: int, wishes: Wishes) -> Scores:
    probabilities: Scores = "sigmoid" if count == 1 else "softmax"
    found = scores_of(model, output)
    if found == "softmax" and count == 1:
        raise RefusedError(
            "The network ends in a soft-max over a single value, which is always 1. It was trained by mistake."
        )
    if found == "sigmoid" and count > 1:
        raise RefusedError(
            f"The network gives each of {count} labels a probability of its own (a sigmoid), so they are no answer to "
            "whether a medium is real or fake. Bring a model with one sigmoid, or with a soft-max."
        )
    if wishes.output == "logits" and found in {"sigmoid", "softmax"}:
        raise RefusedError(f"The network ends in a {found}, so it gives probabilities; leave --output out.")
    if wishes.output is not None:
        return "logits" if wishes.output == "logits" else probabilities
    if found is None:
        raise RefusedError(
            "The network does not end in a layer that says whether it gives logits or probabilities. Add --output "
            "probabilities where its values lie between 0 and 1 (and add up to 1, if there are several), or else "
            "--output logits."
        )
    return found
