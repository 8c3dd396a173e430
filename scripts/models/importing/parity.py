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
        RefusedError: They differ by more than `LARGEST`, or the answers depend on the batch.
    """
    session = open_graph(weights) if isinstance(weights, bytes) else weights
    answers = run_graph(session, inputs, batch=_BATCH)["p_fake"].reshape(-1)
    largest = float(np.abs(answers - expected.reshape(-1)).max())
    if not largest <= LARGEST:
        raise RefusedError(
            f"The converted model differs from the original by {largest:.1e} in p_fake, allowed are {LARGEST:.0e} "
            f"(over {len(expected)} real inputs). It is not the same model, so it was not staged; report this with the "
            "name of the model."
        )
    few = {name: values[:_FEW] for name, values in inputs.items()}
    again = [run_graph(session, few, batch=size)["p_fake"].reshape(-1) for size in _OTHER_BATCHES]
    spread = max(float(np.abs(answer - answers[:_FEW]).max()) for answer in again)
    if not spread <= BATCH_ERROR:
        raise RefusedError(
            f"The converted model's scores depend on what else is in a batch, by up to {spread:.1e}. Such a model "
            "cannot be served, because calls of different callers share batches."
        )
    return Parity(framework=framework, n=len(expected), largest=largest)
