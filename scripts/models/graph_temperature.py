"""Changes the temperature of a finished graph: in the node that has it, else in nodes put behind its scores.

It works on every graph that is in the contract, whatever it was made of and however it was quantised, because all of
them answer `p_fake`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper, shape_inference

from scripts.models.graph_parts import GraphError, add_constants, checked, copy_of, end_of, opset, rename
from scripts.models.graph_scores import SMALLEST

SCORES: Final = ("p_fake", "frame_p_fake", "token_p_fake")
"""Outputs that are probabilities of being fake, and take part in a temperature."""

_TWO_LABELS: Final = 2


def heat(model: ModelProto, factor: float) -> ModelProto:
    """Copy of a graph whose log-odds of every score are divided by `factor`.

    Where a node divides logits by a temperature, that one is multiplied: of one logit, or of two labels, for only
    there a soft-max of tempered logits is the tempered score. Elsewhere the scores' log-odds are taken, divided and
    turned back.

    Raises:
        GraphError: The factor is not positive, or the graph answers no `p_fake`.
    """
    if not factor > 0:
        raise GraphError("the temperature must be positive")
    copy = copy_of(model)
    opset(copy)
    end_of(copy.graph.output, "p_fake")
    for name in SCORES:
        if any(end.name == name for end in copy.graph.output) and not _multiply(copy, name, factor):
            _append(copy, name, factor)
    return checked(copy)


def _multiply(model: ModelProto, name: str, factor: float) -> bool:
    """Change the constant that logits of a score are divided by, in place; tell whether there is one."""
    constant = f"{name}/temperature"
    users = [node for node in model.graph.node if constant in node.input]
    tensors = [tensor for tensor in model.graph.initializer if tensor.name == constant]
    if len(tensors) != 1 or len(users) != 1 or not _divides_log_odds(model, users[0], name):
        return False
    before = numpy_helper.to_array(tensors[0])
    after = np.asarray(before.astype(np.float64) * factor, before.dtype)
    tensors[0].CopyFrom(numpy_helper.from_array(after, constant))
    return True


def _divides_log_odds(model: ModelProto, node: NodeProto, name: str) -> bool:
    """Whether the node divides what becomes the score by a sigmoid, or by a soft-max over two labels."""
    if node.op_type != "Div" or node.output[0] != f"{name}/tempered":
        return False
    makers = {output: each for each in model.graph.node for output in each.output}
    last = makers[name]
    if last.op_type == "Sigmoid":
        negated = makers.get(last.input[0])
        source = negated.input[0] if negated is not None and negated.op_type == "Neg" else last.input[0]
        return source == node.output[0]
    softmax = makers.get(last.input[0]) if last.op_type == "Gather" else None
    if softmax is None or softmax.op_type != "Softmax" or softmax.input[0] != node.output[0]:
        return False
    return _labels(model, node.input[0]) == _TWO_LABELS


def _labels(model: ModelProto, logits: str) -> int | None:
    """Last size of a tensor inside the graph, where shape inference finds it."""
    inferred = shape_inference.infer_shapes(model)
    for value in (*inferred.graph.value_info, *inferred.graph.input):
        if value.name == logits and value.type.tensor_type.shape.dim:
            return value.type.tensor_type.shape.dim[-1].dim_value or None
    return None


def _append(model: ModelProto, name: str, factor: float) -> None:
    """Put nodes behind a score, in place: log-odds, division, sigmoid."""
    plain = _free(model, f"{name}/untempered")
    end = end_of(model.graph.output, name)
    rename(model, {name: plain})
    end.name = name
    # A temperature that divides other logits keeps its name; a later change goes to the one behind all of them.
    taken = any(tensor.name == f"{name}/temperature" for tensor in model.graph.initializer)
    prefix = plain if taken else name
    constants: dict[str, NDArray] = {
        f"{plain}/least": np.asarray(SMALLEST, np.float32),
        f"{plain}/most": np.asarray(1, np.float32),
        f"{prefix}/temperature": np.asarray(factor, np.float32),
    }
    bounds = [f"{plain}/least", f"{plain}/most"]
    model.graph.node.extend(
        [
            helper.make_node("Clip", [plain, *bounds], [f"{plain}/clipped"]),
            helper.make_node("Log", [f"{plain}/clipped"], [f"{plain}/log"]),
            helper.make_node("Sub", [f"{plain}/most", f"{plain}/clipped"], [f"{plain}/rest"]),
            helper.make_node("Clip", [f"{plain}/rest", *bounds], [f"{plain}/clipped_rest"]),
            helper.make_node("Log", [f"{plain}/clipped_rest"], [f"{plain}/log_rest"]),
            helper.make_node("Sub", [f"{plain}/log", f"{plain}/log_rest"], [f"{plain}/log_odds"]),
            helper.make_node("Div", [f"{plain}/log_odds", f"{prefix}/temperature"], [f"{prefix}/tempered"]),
            helper.make_node("Sigmoid", [f"{prefix}/tempered"], [name]),
        ]
    )
    add_constants(model, constants)


def _free(model: ModelProto, name: str) -> str:
    """The name, or one with a number behind it that the graph does not use."""
    taken = {output for node in model.graph.node for output in node.output}
    number = 1
    chosen = name
    while chosen in taken:
        number += 1
        chosen = f"{name}_{number}"
    return chosen
