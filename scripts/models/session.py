"""Runs an ONNX graph on the CPU, to compare it with its original, to measure it and to record golden answers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

MAX_PARITY_ERROR = 1e-5
"""Largest difference of a probability between a published graph and the model it was exported from."""


class ParityError(RuntimeError):
    """The exported graph does not answer what its original answers."""


def open_graph(model: ModelProto | bytes) -> onnxruntime.InferenceSession:
    """Load a graph for `run_graph`, so that it is loaded once where it is asked several times."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    # Threads that wait in a loop take the cores from whatever else runs here, such as the original.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run_graph(
    model: ModelProto | bytes | onnxruntime.InferenceSession, inputs: Mapping[str, NDArray], *, batch: int = 64
) -> dict[str, NDArray[np.float32]]:
    """Answer of every output for `inputs`, [n, …] each, run in batches of at most `batch`."""
    session = model if isinstance(model, onnxruntime.InferenceSession) else open_graph(model)
    names = [output.name for output in session.get_outputs()]
    count = len(next(iter(inputs.values())))
    parts: list[Any] = [
        session.run(names, {name: values[start : start + batch] for name, values in inputs.items()})
        for start in range(0, count, batch)
    ]
    return {name: np.concatenate([part[index] for part in parts]) for index, name in enumerate(names)}


def check_parity(model: ModelProto | bytes, inputs: Mapping[str, NDArray], expected: Mapping[str, NDArray]) -> float:
    """Largest |Δ| between the graph's answers and the original's `expected`, by output name.

    Raises:
        ParityError: It is over `MAX_PARITY_ERROR`.
    """
    answers = run_graph(model, inputs)
    worst = max(float(np.abs(answers[name] - values).max()) for name, values in expected.items())
    if not worst <= MAX_PARITY_ERROR:
        message = f"the graph differs from its original by {worst:.2e}, allowed are {MAX_PARITY_ERROR:.0e}"
        raise ParityError(message)
    return worst
