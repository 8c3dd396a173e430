"""Leaves out of a graph what is computed for steps of a sequence that nobody reads.

A transformer that is read at its first step alone, as ViT, RoBERTa and their kin are, still computes its last layer for
every step. What is read is chosen earlier here: the last layer's queries, products and norms are then of one step, keys
and values of all, and the answer is the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from scripts.models.graph_parts import add_constants, copy_of
from scripts.models.simplify import Wiring, prune

_STEPS: Final = 1
"""The axis of steps in [batch, steps, channels]."""
_SEQUENCE: Final = 3
_BY_ELEMENT: Final = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Where"}
    | {"Cast", "Erf", "Gelu", "Identity", "LeakyRelu", "Neg", "Relu", "Sigmoid", "Sqrt", "Tanh"}
)
_OVER_LAST_AXIS: Final = frozenset({"LayerNormalization", "Softmax"})

Shape = tuple[int | None, ...]
"""Sizes by axis; None where they are not known beforehand."""


def skip_unread_steps(model: ModelProto) -> ModelProto:
    """Return a copy that computes, where one step of a sequence is read, no more than that step as far as it can."""
    copy = copy_of(model)
    while (reading := _next_reading(copy)) is not None:
        _choose_earlier(copy, *reading)
    prune(copy)
    return copy


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done for one step: values of which only that is wanted, by the axis of steps they have."""

    shapes: Mapping[str, Shape]
    weights: Mapping[str, TensorProto]
    steps: int
    axes: dict[str, int]
    nodes: list[NodeProto] = field(default_factory=list[NodeProto])

    def operands(self, node: NodeProto) -> dict[str, int] | None:
        """Return the axis of steps of each operand that has them; None where the node does not go step by step."""
        axis, kind = self.axes[node.output[0]], node.op_type
        if any(name and name not in self.shapes for name in node.input):
            return None
        rank = len(self.shapes[node.output[0]])
        if kind in _BY_ELEMENT:
            return self._aligned(node.input, rank, axis)
        source = node.input[0]
        own: int | None = None
        if kind in _OVER_LAST_AXIS:
            own = axis if _attribute(node, "axis", -1) % rank == rank - 1 != axis else None
        elif kind == "MatMul":
            own = axis if axis == rank - 2 and len(self.shapes[source]) == rank and source != node.input[1] else None
        elif kind == "Transpose":
            own = order[axis] if (order := _attribute(node, "perm", ())) else None
        elif kind == "Reshape":
            own = axis if self._keeps(node, axis) else None
        return None if own is None else {source: own}

    def new_shape(self, node: NodeProto) -> NDArray[np.int64]:
        """The constant of a reshape, for one step."""
        shape = numpy_helper.to_array(self.weights[node.input[1]]).copy()
        shape[self.axes[node.output[0]]] = 1
        return shape

    def _aligned(self, names: Iterable[str], rank: int, axis: int) -> dict[str, int]:
        """Operands are aligned at their last axes; one that has a single step there stands for all of them."""
        found = {name: axis - rank + len(self.shapes[name]) for name in names if name}
        return {name: own for name, own in found.items() if own >= 0 and self.shapes[name][own] != 1}

    def _keeps(self, node: NodeProto, axis: int) -> bool:
        """Whether a reshape keeps the axes up to that of the steps, and takes its shape from a constant."""
        before, after = self.shapes[node.input[0]], self.shapes[node.output[0]]
        wanted = self.weights.get(node.input[1])
        if wanted is None or before[: axis + 1] != after[: axis + 1] or before[axis] != self.steps:
            return False
        return numpy_helper.to_array(wanted)[axis] in {0, self.steps}


def _next_reading(model: ModelProto) -> tuple[NodeProto, int, _Plan] | None:
    """Find a node that reads one step of what is computed for more, with what can be computed for that step alone."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    wiring = Wiring(model)
    shapes: dict[str, Shape] = {}
    for node in model.graph.node:
        step = _step_read(node, weights)
        if step is None or wiring.only_taker(node.input[0]) is not node:
            continue
        shapes = shapes or _shapes(model)
        shape = shapes.get(node.input[0], ())
        if len(shape) != _SEQUENCE or shape[_STEPS] in {None, 1}:
            continue
        plan = _Plan(shapes, weights, shape[_STEPS] or 0, axes={node.input[0]: _STEPS})
        _collect(model, wiring, node, plan)
        if any(each.op_type == "MatMul" for each in plan.nodes):
            return node, step, plan
    return None


def _step_read(node: NodeProto, weights: Mapping[str, TensorProto]) -> int | None:
    """Return which step of [batch, steps, channels] a node takes, where it takes just one."""
    if node.op_type != "Gather" or _attribute(node, "axis", 0) != _STEPS:
        return None
    index = weights.get(node.input[1])
    return int(numpy_helper.to_array(index).item()) if index is not None and np.prod(index.dims) == 1 else None


def _attribute(node: NodeProto, name: str, otherwise: Any) -> Any:
    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), otherwise)


def _shapes(model: ModelProto) -> dict[str, Shape]:
    """Return what is known beforehand of the shapes of all values and weights."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            found[value.name] = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)
    return found


def _collect(model: ModelProto, wiring: Wiring, reading: NodeProto, plan: _Plan) -> None:
    """Note, from the back to the front, the nodes all of whose takers want one step of them."""
    wanting = {id(reading)}
    for node in reversed(model.graph.node):
        name = node.output[0] if len(node.output) == 1 else ""
        takers = wiring.takers.get(name, [])
        if name not in plan.axes or name in wiring.outputs or any(id(taker) not in wanting for taker in takers):
            continue
        operands = plan.operands(node)
        if operands is None or any(plan.axes.get(each, axis) != axis for each, axis in operands.items()):
            continue
        plan.axes.update(operands)
        plan.nodes.append(node)
        wanting.add(id(node))


def _choose_earlier(model: ModelProto, reading: NodeProto, step: int, plan: _Plan) -> None:
    """Compute the noted nodes for one step, in place: it is chosen from what they take from elsewhere."""
    at = f"{reading.output[0]}/step"
    index = numpy_helper.to_array(plan.weights[reading.input[1]])
    # An index with an axis of its own keeps the axis of steps, with one step in it.
    constants: dict[str, NDArray[Any]] = {at: np.asarray([step], np.int64), f"{at}/first": np.zeros_like(index)}
    inside = {node.output[0] for node in plan.nodes}
    noted = {id(node) for node in plan.nodes}
    chosen: dict[str, str] = {}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        operands = (plan.operands(node) or {}) if id(node) in noted else {}
        for name, axis in operands.items():
            if name not in inside and name not in chosen:
                chosen[name] = f"{name}/{at}"
                nodes.append(helper.make_node("Gather", [name, at], [chosen[name]], axis=axis))
        node.input[:] = [chosen.get(name, name) if name in operands else name for name in node.input]
        if operands and node.op_type == "Reshape":
            constants[f"{node.output[0]}/{at}/shape"] = plan.new_shape(node)
            node.input[1] = f"{node.output[0]}/{at}/shape"
        nodes.append(node)
    reading.input[1] = f"{at}/first"
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    add_constants(model, constants)
