"""torch to ONNX: a module becomes a graph with named ends and a dynamic batch."""

import warnings

import torch
from onnx import ModelProto

from scripts.models.graph import BATCH, rename_ends


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
