"""Frameworks to ONNX: a Keras model or a torch module becomes a graph with named ends and a dynamic batch."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto

from scripts.models.graph import BATCH, rename_ends


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


def export_torch(module: torch.nn.Module, example: torch.Tensor, *, name: str, output: str) -> ModelProto:
    """ONNX graph of a torch module of one input [batch, …], called `name`, and one output, called `output`."""
    module.eval()
    with warnings.catch_warnings():
        # torch's exporter walks over its own deprecated tree types.
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            module,
            (example,),
            input_names=[name],
            output_names=[output],
            dynamic_shapes=({0: torch.export.Dim(BATCH, min=1)},),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch gave no ONNX program")
    return rename_ends(program.model_proto, inputs=[name], outputs=[output])
