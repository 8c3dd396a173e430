"""The same model in fewer bits: half precision for GPUs, eight bits for processors.

What comes in and what goes out stays as the contract says: preprocessing, soft-max and `p_fake` are done in float32.
Whether a converted graph still gives the verdicts of its original is for `scripts.models.gate` to say.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from bentos.cards import Precision
from scripts.models.errors import RefusedError
from scripts.models.graph_parts import copy_of
from scripts.models.graph_sounds import WAVEFORM
from scripts.models.int8 import measure_ranges, quantise_products
from scripts.models.products import find_products, unroll_convolutions
from scripts.models.simplify import Wiring, drop_idle_masks, prune
from scripts.models.unread import skip_unread_steps

Inputs = Mapping[str, NDArray[Any]]

_HEAVY: Final = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "LSTM", "GRU", "MultiHeadAttention"})
_PICTURE_AXES: Final = 4
_SOUND: Final = f"{WAVEFORM}/"
_READY: Final = ("onnx.quant.pre_process", "onnxruntime.quant")
"""The note by which ONNX Runtime's quantiser knows that a graph was prepared for it."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A graph in another precision, and how it got there, in words for a person."""

    weights: bytes
    way: str


def convert(weights: bytes, precision: Precision, calibration: Inputs | None = None) -> bytes:
    """Return a graph in another precision: the fastest way that there is for it.

    `calibration` are real inputs by name, [n, …], from which int8 takes what its numbers range over.

    Raises:
        RefusedError: There is nothing in it to convert, or a convolutional network comes without `calibration`.
    """
    return next(ways(weights, precision, calibration)).weights


def ways(weights: bytes, precision: Precision, calibration: Inputs | None = None) -> Iterator[Converted]:
    """Convert a graph in each way that there is for a precision, the fastest to run first. Raises as `convert` does."""
    if precision == "fp32":
        yield Converted(weights=weights, way="as it is")
        return
    model = skip_unread_steps(drop_idle_masks(onnx.load_model_from_string(weights)))
    if precision == "fp16":
        yield Converted(weights=_halve(model).SerializeToString(), way="half precision between the ends")
        return
    if _is_convolutional(model):
        if calibration is None:
            raise RefusedError(
                "A convolutional network needs real inputs to be brought to int8: give --data or --calibration-data."
            )
        yield Converted(
            weights=_quantise_convolutions(model, calibration).SerializeToString(),
            way="int8 with ranges from real inputs, convolutions included",
        )
        return
    model = unroll_convolutions(model)
    if not find_products(model):
        raise RefusedError("Nothing in this graph is worth eight bits: it has no large product or convolution.")
    if calibration is not None:
        ranges = measure_ranges(model, calibration)
        yield Converted(
            weights=quantise_products(model, ranges).SerializeToString(), way="int8 with ranges from real inputs"
        )
    yield Converted(weights=quantise_products(model).SerializeToString(), way="int8 with a range for each row")


def float_ends(model: ModelProto) -> set[str]:
    """Return the names of the nodes before the first heavy one and behind the last: they prepare, and lead to p_fake.

    What an import computes of a sound is among them with its convolution: energies of a spectrum go from nearly nothing
    to large ones, and their logarithm shows it. Every node must have a name.
    """
    wiring = Wiring(model)
    before: set[str] = set()
    behind: set[str] = set()
    # Nodes stand in an order in which each comes after what it takes.
    for node in model.graph.node:
        makers = [wiring.makers[name] for name in node.input if name in wiring.makers]
        if node.op_type not in _HEAVY and all(maker.name in before for maker in makers):
            before.add(node.name)
    for node in reversed(model.graph.node):
        takers = [taker for name in node.output for taker in wiring.takers.get(name, [])]
        if node.op_type not in _HEAVY and all(taker.name in behind for taker in takers):
            behind.add(node.name)
    features = {node.name for node in model.graph.node if any(each.startswith(_SOUND) for each in node.output)}
    return before | behind | features


def _halve(model: ModelProto) -> ModelProto:
    named = _named(model)
    # The converter works in place, so what it is given must be a copy of its own.
    half = convert_float_to_float16(named, keep_io_types=True, node_block_list=sorted(float_ends(named)))
    _take_inputs_whole(half)
    return _named(half)


def _take_inputs_whole(model: ModelProto) -> None:
    """Undo, in place, what the converter does to an input for a node that stays as it is: to half and back."""
    wiring = Wiring(model)
    whole: dict[str, str] = {}
    for node in model.graph.node:
        maker = wiring.makers.get(node.input[0]) if node.op_type == "Cast" else None
        if maker is not None and maker.op_type == "Cast" and maker.input[0] in wiring.inputs:
            whole[node.output[0]] = maker.input[0]
    for node in model.graph.node:
        node.input[:] = [whole.get(name, name) for name in node.input]


def _is_convolutional(model: ModelProto) -> bool:
    """Tell whether most weights are those of convolutions over pictures, and not of a single one that cuts patches."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    kernels = [
        tensor
        for node in model.graph.node
        if node.op_type == "Conv" and (tensor := weights.get(node.input[1])) and len(tensor.dims) == _PICTURE_AXES
    ]
    return len(kernels) > 1 and sum(map(_size, kernels)) > sum(each.weight.size for each in find_products(model))


def _size(tensor: onnx.TensorProto) -> int:
    return int(np.prod(tensor.dims))


class _Reader(CalibrationDataReader):
    """Hands real inputs to the quantiser row by row."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._next = 0

    def get_next(self) -> dict[str, NDArray[Any]] | None:  # pyright: ignore[reportIncompatibleMethodOverride]  # None ends it.
        start, self._next = self._next, self._next + 1
        if start >= len(next(iter(self._inputs.values()))):
            return None
        return {name: values[start : start + 1] for name, values in self._inputs.items()}


def _quantise_convolutions(model: ModelProto, calibration: Inputs) -> ModelProto:
    named = _named(model)
    note = named.metadata_props.add()
    note.key, note.value = _READY
    kinds = (
        "Conv",
        "MatMul",
        "Gemm",
        "Add",
        "Clip",
        "Relu",
        "GlobalAveragePool",
        "MaxPool",
        "AveragePool",
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        quantize_static(
            named,
            file,
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(kinds),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted(float_ends(named)),
        )
        return onnx.load(file)


def _named(model: ModelProto) -> ModelProto:
    """Return a copy in which every node has a name of its own, by which it can be left out."""
    copy = copy_of(model)
    for number, node in enumerate(copy.graph.node):
        node.name = f"{node.op_type}{number}"
    prune(copy)
    return copy
