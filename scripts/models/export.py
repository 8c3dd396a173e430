"""Keras to ONNX: a model becomes a graph with named ends and a dynamic batch."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from scripts.models.graph import rename_ends


def export_keras(
    model: keras.Model, examples: Sequence[NDArray], *, inputs: Sequence[str], outputs: Sequence[str]
) -> ModelProto:
    """ONNX graph of a Keras model (TensorFlow backend) whose ends are called `inputs` and `outputs`, in its order.

    `examples` holds one batch of each input; Keras exports only a model that has been called.
    """
    model(list(examples) if len(examples) > 1 else examples[0], training=False)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The converter below Keras still asks numpy for aliases that numpy has dropped, and warns about it itself.
        warnings.simplefilter("ignore", FutureWarning)
        path = Path(folder) / "model.onnx"
        model.export(path, format="onnx", verbose=False)
        exported = onnx.load(path)
    graph = rename_ends(exported, inputs=inputs, outputs=outputs)
    _declare_outputs(graph, [tensor.shape for tensor in model.outputs])
    return graph


def _declare_outputs(graph: ModelProto, shapes: Sequence[Sequence[int | None]]) -> None:
    """Write the sizes that Keras knows where the converter left them open; the first axis stays the batch."""
    for end, shape in zip(graph.graph.output, shapes, strict=True):
        for dimension, size in zip(end.type.tensor_type.shape.dim[1:], shape[1:], strict=True):
            if size is not None:
                dimension.dim_value = size
