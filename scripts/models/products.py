"""Finds the matrix products of a graph that are worth eight bits, and makes products of convolutions over time.

ONNX Runtime's convolution over one axis has no fast path; written as a product of shifted slices it has, in eight bits.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from scripts.models.graph_parts import add_constants, copy_of
from scripts.models.simplify import Wiring, look_inside, prune, random_inputs

SMALLEST: Final = 4096
"""Elements of a weight below which a product stays in floating point: it costs nothing, and a model's head is one."""

_SEQUENCE: Final = 3
"""Axes of the weight of a convolution over time: [channels out, channels in, steps]."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """`source` [..., K] times a constant weight [K, N], plus a constant bias [N] where there is one."""

    node: NodeProto
    bias_node: NodeProto | None
    source: str
    output: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None


def find_products(model: ModelProto) -> list[Product]:
    """Return the products by a constant matrix of at least `SMALLEST` elements, in the order of the graph."""
    wiring = Wiring(model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    found: list[Product] = []
    for node in model.graph.node:
        tensor = weights.get(node.input[1]) if node.op_type == "MatMul" else None
        if tensor is None or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:  # noqa: PLR2004  (a matrix)
            continue
        if np.prod(tensor.dims) < SMALLEST:
            continue
        bias_node, bias = _bias(wiring, weights, node, columns=int(tensor.dims[1]))
        found.append(
            Product(
                node=node,
                bias_node=bias_node,
                source=node.input[0],
                output=(node if bias_node is None else bias_node).output[0],
                weight=numpy_helper.to_array(tensor),
                bias=bias,
            )
        )
    return found


def unroll_convolutions(model: ModelProto) -> ModelProto:
    """Return a copy whose plain convolutions over time are products: of the K shifted slices, side by side, and W.

    Plain are those without groups, gaps or padding. What comes out is the same but for rounding.
    """
    copy = copy_of(model)
    weights = {tensor.name: tensor for tensor in copy.graph.initializer}
    plain = [node for node in copy.graph.node if node.op_type == "Conv" and _is_plain(node, weights)]
    if not plain:
        return copy
    seen = look_inside(copy, random_inputs(copy, rows=1), {node.output[0] for node in plain})
    steps = {node.output[0]: seen[node.output[0]].shape[-1] for node in plain}
    nodes: list[NodeProto] = []
    for node in copy.graph.node:
        if node.op_type == "Conv" and node.output[0] in steps:
            new, constants = _unrolled(node, weights, steps[node.output[0]])
            nodes += new
            add_constants(copy, constants)
        else:
            nodes.append(node)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    prune(copy)
    return copy


def _bias(
    wiring: Wiring, weights: dict[str, TensorProto], node: NodeProto, *, columns: int
) -> tuple[NodeProto | None, NDArray[np.float32] | None]:
    add = wiring.only_taker(node.output[0])
    if add is None or add.op_type != "Add":
        return None, None
    other = weights.get(add.input[1] if add.input[0] == node.output[0] else add.input[0])
    if other is None or list(other.dims) != [columns]:
        return None, None
    return add, numpy_helper.to_array(other)


def _is_plain(node: NodeProto, weights: dict[str, TensorProto]) -> bool:
    tensor = weights.get(node.input[1])
    if tensor is None or len(tensor.dims) != _SEQUENCE or np.prod(tensor.dims[1:]) * tensor.dims[0] < SMALLEST:
        return False
    given = _attributes(node)
    return (
        tensor.dims[1] > 1
        and given.get("group", 1) == 1
        and all(each == 1 for each in given.get("dilations", ()))
        and not any(given.get("pads", ()))
        and given.get("auto_pad", b"NOTSET") in {b"NOTSET", b"VALID"}
    )


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _unrolled(
    node: NodeProto, weights: dict[str, TensorProto], steps: int
) -> tuple[list[NodeProto], dict[str, NDArray[Any]]]:
    """Return the nodes for one convolution [batch, C, T] -> [batch, O, steps], and their constants."""
    output = node.output[0]
    kernel = numpy_helper.to_array(weights[node.input[1]])
    stride = next(iter(_attributes(node).get("strides", (1,))))
    constants: dict[str, NDArray[Any]] = {
        f"{output}/kernel": np.ascontiguousarray(kernel.transpose(2, 1, 0).reshape(-1, kernel.shape[0])),
        f"{output}/axis": np.asarray([1], np.int64),
        f"{output}/stride": np.asarray([stride], np.int64),
    }
    nodes = [helper.make_node("Transpose", [node.input[0]], [f"{output}/steps"], perm=[0, 2, 1])]
    slices: list[str] = []
    for shift in range(kernel.shape[2]):
        name = f"{output}/slice{shift}"
        constants[f"{name}/start"] = np.asarray([shift], np.int64)
        constants[f"{name}/end"] = np.asarray([shift + stride * (steps - 1) + 1], np.int64)
        ends = [f"{output}/steps", f"{name}/start", f"{name}/end", f"{output}/axis", f"{output}/stride"]
        nodes.append(helper.make_node("Slice", ends, [name]))
        slices.append(name)
    product = f"{output}/product"
    nodes += [
        helper.make_node("Concat", slices, [f"{output}/patches"], axis=2),
        helper.make_node("MatMul", [f"{output}/patches", f"{output}/kernel"], [product]),
    ]
    if len(node.input) > 2 and node.input[2]:  # noqa: PLR2004  (a third input is the bias)
        nodes.append(helper.make_node("Add", [product, node.input[2]], [f"{output}/biased"]))
        product = f"{output}/biased"
    nodes.append(helper.make_node("Transpose", [product], [output], perm=[0, 2, 1]))
    return nodes, constants
