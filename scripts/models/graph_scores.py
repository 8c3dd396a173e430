"""Finds out what the last layer of a graph gives, logits or probabilities, and makes logits of either.

A temperature divides logits, so a classifier that ends in a sigmoid or a soft-max loses that node here; what cannot be
taken off is undone by its inverse.
"""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from scripts.models.graph_parts import add_constants, checked, copy_of, end_of, rename, shape_of

Scores = Literal["logits", "sigmoid", "softmax"]
"""What an output holds: raw logits, a probability of its own for each value, or probabilities that add up to one."""

SMALLEST: Final = 1e-12
"""Probabilities nearer to 0 than this count as this near, so that the logarithm is finite."""

_SAME_VALUES: Final = frozenset({"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast", "Dropout"})
_LINEAR: Final = frozenset({"Gemm", "MatMul", "Add", "Conv", "Einsum", "BiasAdd"})
_ACTIVATIONS: Final[dict[str, Scores]] = {"Sigmoid": "sigmoid", "Softmax": "softmax"}


def scores_of(model: ModelProto, output: str) -> Scores | None:
    """What the output holds, as the nodes that make it tell; None where they do not tell."""
    node, _ = _last_node(model, output)
    if node is None:
        return None
    if node.op_type in _ACTIVATIONS:
        return _ACTIVATIONS[node.op_type]
    return "logits" if node.op_type in _LINEAR else None


def to_logits(model: ModelProto, scores: Scores, *, source: str) -> ModelProto:
    """Have the output `source` give logits where it gave `scores`; its name and shape stay.

    A sigmoid or soft-max at the very end is taken off. Where probabilities come out of anything else, their logarithm
    (soft-max) or log-odds (sigmoid) are taken, which are logits too, up to a constant that a soft-max does not see.
    """
    copy = copy_of(model)
    end = end_of(copy.graph.output, source)
    if scores == "logits":
        return copy
    node, plain = _last_node(copy, source)
    if node is not None and plain and _ACTIVATIONS.get(node.op_type) == scores and _over_last_axis(node, shape_of(end)):
        node.op_type = "Identity"
        del node.attribute[:]
        return checked(copy)
    rename(copy, {source: f"{source}/probabilities"})
    end.name = source
    constants: dict[str, NDArray] = {
        f"{source}/smallest": np.asarray(SMALLEST, np.float32),
        f"{source}/largest": np.asarray(1, np.float32),
    }
    bounds = [f"{source}/smallest", f"{source}/largest"]
    nodes = [
        helper.make_node("Clip", [f"{source}/probabilities", *bounds], [f"{source}/clipped"]),
        helper.make_node("Log", [f"{source}/clipped"], [f"{source}/log" if scores == "sigmoid" else source]),
    ]
    if scores == "sigmoid":
        constants[f"{source}/one"] = np.asarray(1, np.float32)
        nodes += [
            helper.make_node("Sub", [f"{source}/one", f"{source}/clipped"], [f"{source}/rest"]),
            helper.make_node("Clip", [f"{source}/rest", *bounds], [f"{source}/clipped_rest"]),
            helper.make_node("Log", [f"{source}/clipped_rest"], [f"{source}/log_rest"]),
            helper.make_node("Sub", [f"{source}/log", f"{source}/log_rest"], [source]),
        ]
    copy.graph.node.extend(nodes)
    add_constants(copy, constants)
    return checked(copy)


def flatten_scores(model: ModelProto, *, source: str, count: int) -> ModelProto:
    """Give the output `source` the shape [batch, count], whatever axes of size 1 it came with."""
    copy = copy_of(model)
    end = end_of(copy.graph.output, source)
    if len(shape_of(end)) == 2:  # noqa: PLR2004  (batch and scores)
        return copy
    batch = shape_of(end)[0] if shape_of(end) else "batch"
    position = list(copy.graph.output).index(end)
    rename(copy, {source: f"{source}/unshaped"})
    copy.graph.output.remove(end)
    copy.graph.output.insert(position, helper.make_tensor_value_info(source, TensorProto.FLOAT, [batch, count]))
    copy.graph.node.append(helper.make_node("Reshape", [f"{source}/unshaped", f"{source}/shape"], [source]))
    add_constants(copy, {f"{source}/shape": np.asarray([-1, count], np.int64)})
    return checked(copy)


def _last_node(model: ModelProto, output: str) -> tuple[NodeProto | None, bool]:
    """The node that makes the output's values, and whether nobody else uses them, so that it may be changed."""
    makers = {name: node for node in model.graph.node for name in node.output}
    users: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            users[name] = users.get(name, 0) + 1
    name, alone = output, True
    while (node := makers.get(name)) is not None and node.op_type in _SAME_VALUES:
        alone = alone and users.get(name, 0) <= (name != output)
        name = node.input[0]
    return node, alone and users.get(name, 0) <= (name != output)


def _over_last_axis(node: NodeProto, shape: list[int | str]) -> bool:
    """Whether a soft-max runs over the last axis, as the one that is put in its place will."""
    if node.op_type != "Softmax":
        return True
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1)
    return axis in {-1, len(shape) - 1}
