"""Holds an imported graph to the model that it was made of: the same real inputs, p_fake against p_fake."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from bentos.cards import Parity
from scripts.models.errors import RefusedError
from scripts.models.session import open_graph, run_graph

LARGEST: Final = 1e-3
"""Largest |Δ p_fake| in float32 at which a graph still counts as the model that it was made of."""
LARGEST_ODDS: Final = 0.1
"""Largest difference in log-odds. A model that is certain of everything it is asked gives nearly 0 or 1, also where its
input was prepared wrongly: p_fake alone would not show it."""
_SUREST: Final = 1e-5
"""Scores nearer to 0 or 1 count as this near; beyond it float32 rounds too much."""
_BATCH: Final = 5
_OTHER_BATCHES: Final = (1, 2)
_FEW: Final = 5
"""Inputs that are asked about again in other batches."""
BATCH_ERROR: Final = 1e-4
"""How far a score may depend on what else is in its batch; kernels for other sizes round otherwise."""


def check(
    weights: bytes | InferenceSession, inputs: Mapping[str, NDArray], expected: NDArray, *, framework: str
) -> Parity:
    """Compare what the graph answers to `inputs`, by name, [n, …] each, with the original's `expected` p_fake, [n].

    `framework` names the original's framework and its version. The graph is asked in batches of several sizes.

    Raises:
        RefusedError: They differ by more than `LARGEST` or `LARGEST_ODDS`, or the answers depend on the batch.
    """
    session = open_graph(weights) if isinstance(weights, bytes) else weights
    answers = run_graph(session, inputs, batch=_BATCH)["p_fake"].reshape(-1)
    largest = hold(answers, expected)
    few = {name: values[:_FEW] for name, values in inputs.items()}
    again = [run_graph(session, few, batch=size)["p_fake"].reshape(-1) for size in _OTHER_BATCHES]
    spread = max(float(np.abs(answer - answers[:_FEW]).max()) for answer in again)
    if not spread <= BATCH_ERROR:
        raise RefusedError(
            f"The converted model's scores depend on what else is in a batch, by up to {spread:.1e}. Such a model "
            "cannot be served, because calls of different callers share batches."
        )
    return Parity(framework=framework, n=len(expected), largest=largest)


def hold(answers: NDArray, expected: NDArray) -> float:
    """Return the largest |Δ p_fake| between a graph's answers and its original's, [n] each.

    Raises:
        RefusedError: It is more than `LARGEST`, or the two differ by more than `LARGEST_ODDS` in log-odds.
    """
    largest = float(np.abs(answers - expected.reshape(-1)).max())
    if not largest <= LARGEST:
        raise RefusedError(
            f"The converted model differs from the original by {largest:.1e} in p_fake, allowed are {LARGEST:.0e} "
            f"(over {len(expected)} real inputs). It is not the same model, so it was not staged; report this with the "
            "name of the model."
        )
    apart = float(np.abs(_log_odds(answers) - _log_odds(expected.reshape(-1))).max())
    if not apart <= LARGEST_ODDS:
        raise RefusedError(
            f"The converted model differs from the original by {apart:.1e} in log-odds, allowed are {LARGEST_ODDS} "
            f"(and only {largest:.1e} in p_fake, where it is certain of what it says; over {len(expected)} real "
            "inputs). It is not the same model, so it was not staged; report this with the name of the model."
        )
    return largest


def _log_odds(scores: NDArray) -> NDArray[np.float64]:
    bounded = np.clip(scores.astype(np.float64), _SUREST, 1 - _SUREST)
    return np.log(bounded) - np.log1p(-bounded)
