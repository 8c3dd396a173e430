"""Rewrites matrix products in eight bits, so that a row's answer does not hang on what shares its batch.

ONNX Runtime's own dynamic quantisation takes one scale for a whole batch: a caller's score would change with the media
of others. Here the scale is either fixed beforehand from real inputs ("static"), or taken row by row as the numbers
come ("rows"), which needs no such inputs, loses less and costs a little more. Weights have a scale for each column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from scripts.models.graph_parts import add_constants, copy_of, opset
from scripts.models.products import Product, find_products
from scripts.models.simplify import Wiring, open_inside, prune

Scheme = Literal["static", "rows"]

CONTRIB: Final = "com.microsoft"
"""The domain of ONNX Runtime's own operators, which are in every build of it. Those here run on processors."""

_LARGEST: Final = 127
_MIDDLE: Final = 128
_BYTE: Final = 255
_FLOOR: Final = 1e-10
"""Smallest scale, so that a row of zeros is not divided by zero."""
_AXES_AS_INPUT_OPSET: Final = 18
_CHANNELS: Final = 2
"""The last axis of [batch, steps, channels], by which `products` puts shifted slices side by side."""
_ROWS_AT_ONCE: Final = 4


@dataclass(frozen=True, kw_only=True)
class Range:
    """The smallest and the largest value that was seen of a tensor."""

    low: float
    high: float

    def scale(self) -> tuple[np.float32, np.uint8]:
        """Scale and zero point that spread the range, stretched to hold zero, over the values of a byte."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        scale = max((high - low) / _BYTE, _FLOOR)
        return np.float32(scale), np.uint8(np.clip(round(-low / scale), 0, _BYTE))


def quantise_products(model: ModelProto, ranges: Mapping[str, Range] | None = None) -> ModelProto:
    """Return a copy whose products by a constant are done in int8: statically with `ranges` by source, else by rows."""
    copy = copy_of(model)
    products = {product.output: product for product in find_products(copy)}
    replaced = {id(node) for each in products.values() for node in (each.node, each.bias_node) if node is not None}
    wiring = Wiring(copy)
    quantised: set[str] = set()
    nodes: list[NodeProto] = []
    for node in copy.graph.node:
        product = products.get(node.output[0]) if node.output else None
        if product is None:
            if id(node) not in replaced:
                nodes.append(node)
            continue
        builder = _Builder(product, opset(copy))
        if product.source not in quantised:
            if ranges is None:
                builder.quantise_rows()
            else:
                builder.quantise(ranges[product.source], _slices(wiring, product.source))
            quantised.add(product.source)
        builder.multiply(by_rows=ranges is None)
        nodes += builder.nodes
        add_constants(copy, builder.constants)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    if CONTRIB not in {entry.domain for entry in copy.opset_import}:
        copy.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    prune(copy)
    return copy


def measure_ranges(model: ModelProto, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Range]:
    """Return what the sources of all products range over on real `inputs`, [n, …] by name."""
    names: Sequence[str] = sorted({product.source for product in find_products(model)})
    if not names:
        return {}
    session = open_inside(model, names)
    taken = [end.name for end in session.get_inputs()]
    found: dict[str, Range] = {}
    for start in range(0, len(next(iter(inputs.values()))), _ROWS_AT_ONCE):
        part = {name: inputs[name][start : start + _ROWS_AT_ONCE] for name in taken}
        values: list[Any] = list(session.run(names, part))
        for name, value in zip(names, values, strict=True):
            before = found.get(name, Range(low=0.0, high=0.0))
            found[name] = Range(low=min(before.low, float(value.min())), high=max(before.high, float(value.max())))
    return found


def quantise_weight(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return a weight [K, N] in int8 and the scale of each of its columns, [N]; symmetric, so that zero stays zero."""
    scales = np.maximum(np.abs(weight).max(axis=0) / _LARGEST, _FLOOR).astype(np.float32)
    return np.clip(np.rint(weight / scales), -_LARGEST, _LARGEST).astype(np.int8), scales


def _slices(wiring: Wiring, name: str) -> list[NodeProto]:
    """Return the slices of one tensor that a value is, side by side by channel; none where it is something else."""
    concat = wiring.makers.get(name)
    if concat is None or concat.op_type != "Concat" or helper.get_node_attr_value(concat, "axis") != _CHANNELS:
        return []
    made = [wiring.makers.get(each) for each in concat.input]
    slices = [node for node in made if node is not None and node.op_type == "Slice"]
    return slices if len(slices) == len(made) and len({node.input[0] for node in slices}) == 1 else []


class _Builder:
    """Collects the nodes and constants that stand in the place of one product."""

    def __init__(self, product: Product, version: int) -> None:
        self.product = product
        self.version = version
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        # What belongs to the source is made once and shared by all that multiply it, as query, key and value do.
        self.at = f"{product.source}/int8"

    def quantise(self, known: Range, slices: Sequence[NodeProto]) -> None:
        """Bring the source to bytes; where it is slices side by side, bring what they are cut from, and cut then."""
        at = self.at
        scale, zero = known.scale()
        self.constants |= {f"{at}/scale": np.asarray(scale), f"{at}/zero": np.asarray(zero)}
        if not slices:
            self._node("QuantizeLinear", [self.product.source, f"{at}/scale", f"{at}/zero"], f"{at}/bytes")
            return
        self._node("QuantizeLinear", [slices[0].input[0], f"{at}/scale", f"{at}/zero"], f"{at}/whole")
        for each in slices:
            self._node("Slice", [f"{at}/whole", *each.input[1:]], f"{each.output[0]}/int8")
        self._node("Concat", [f"{each.output[0]}/int8" for each in slices], f"{at}/bytes", axis=_CHANNELS)

    def quantise_rows(self) -> None:
        """Bring the source to bytes with a scale for each row."""
        at, source = self.at, self.product.source
        self.constants |= {
            f"{at}/scale": np.asarray(1, np.float32),
            f"{at}/zero": np.asarray(_MIDDLE, np.uint8),
            f"{at}/step": np.asarray(1 / _LARGEST, np.float32),
            f"{at}/floor": np.asarray(_FLOOR, np.float32),
        }
        self._node("Abs", [source], f"{at}/size")
        if self.version >= _AXES_AS_INPUT_OPSET:
            self.constants[f"{at}/axis"] = np.asarray([-1], np.int64)
            self._node("ReduceMax", [f"{at}/size", f"{at}/axis"], f"{at}/largest", keepdims=1)
        else:
            self._node("ReduceMax", [f"{at}/size"], f"{at}/largest", keepdims=1, axes=[-1])
        self._node("Mul", [f"{at}/largest", f"{at}/step"], f"{at}/steps")
        self._node("Max", [f"{at}/steps", f"{at}/floor"], f"{at}/rows")
        self._node("Div", [source, f"{at}/rows"], f"{at}/scaled")
        self._node("QuantizeLinear", [f"{at}/scaled", f"{at}/scale", f"{at}/zero"], f"{at}/bytes")

    def multiply(self, *, by_rows: bool) -> None:
        at, output, bias = self.at, self.product.output, self.product.bias
        weight, scales = quantise_weight(self.product.weight)
        self.constants |= {f"{output}/weight": weight, f"{output}/scales": scales}
        ends = [f"{at}/bytes", f"{output}/weight", f"{at}/scale", f"{output}/scales", f"{at}/zero"]
        if bias is not None:
            self.constants[f"{output}/bias"] = bias
        if not by_rows:
            ends += ["", f"{output}/bias"] if bias is not None else []
            self._node("MatMulIntegerToFloat", ends, output, domain=CONTRIB)
            return
        self._node("MatMulIntegerToFloat", ends, f"{output}/product", domain=CONTRIB)
        scaled = output if bias is None else f"{output}/scaled"
        self._node("Mul", [f"{output}/product", f"{at}/rows"], scaled)
        if bias is not None:
            self._node("Add", [scaled, f"{output}/bias"], output)

    def _node(self, kind: str, inputs: list[str], output: str, *, domain: str = "", **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes))
