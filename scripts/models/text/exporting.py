"""Torch to ONNX for models over tokens. Batch and number of tokens stay free: a window costs what it is long."""

import warnings
from collections.abc import Sequence
from typing import Final

import torch
from onnx import ModelProto

from scripts.models.graph import rename_ends

_ROWS: Final = 2
_TOKENS: Final = 7
"""Size of the example that is traced; exporters take a 1 for a constant."""


def export_tokens(module: torch.nn.Module, *, inputs: Sequence[str], outputs: Sequence[str]) -> ModelProto:
    """ONNX graph of a module that takes int64 [batch, T] tensors: `input_ids`, `attention_mask`, `token_type_ids`."""
    module.eval()
    example = tuple(torch.ones(_ROWS, _TOKENS, dtype=torch.int64) for _ in inputs)
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings():
        # torch's exporter walks over its own deprecated tree types.
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            module,
            example,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple(free for _ in inputs),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch gave no ONNX program")
    return rename_ends(program.model_proto, inputs=inputs, outputs=outputs)
