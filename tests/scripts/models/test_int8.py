"""The passes over a graph, on graphs that were put together node by node."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from scripts.models.int8 import Range, quantise_weight
from scripts.models.simplify import drop_idle_masks, prune


def kinds(model):
    return [node.op_type for node in model.graph.node]


def test_a_mask_that_hides_something_stays():
    mask = np.asarray([[0, -1e9], [0, 0]], np.float32)
    nodes = [
        helper.make_node("Add", ["scores", "mask"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["shares"], axis=-1),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2, 2]) for name in ("scores", "shares")]
    model = helper.make_model(
        helper.make_graph(nodes, "masked", ends[:1], ends[1:], [numpy_helper.from_array(mask, "mask")]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )

    assert kinds(drop_idle_masks(model)) == ["Add", "Softmax"]


def test_pruning_keeps_what_an_output_needs_in_order():
    nodes = [
        helper.make_node("Neg", ["middle"], ["out"]),
        helper.make_node("Abs", ["in"], ["middle"]),
        helper.make_node("Exp", ["in"], ["unused"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("in", "out")]
    model = helper.make_model(
        helper.make_graph(nodes, "untidy", ends[:1], ends[1:], [numpy_helper.from_array(np.zeros(1, np.float32), "w")])
    )

    prune(model)

    assert kinds(model) == ["Abs", "Neg"]
    assert not model.graph.initializer
    onnx.checker.check_model(model)


@pytest.mark.parametrize(
    ("low", "high", "zero"), [(-1.0, 1.0, 128), (0.0, 5.0, 0), (2.0, 5.0, 0), (-3.0, -1.0, 255), (0.0, 0.0, 0)]
)
def test_a_range_always_holds_zero_exactly(low, high, zero):
    scale, point = Range(low=low, high=high).scale()

    assert int(point) == zero
    assert scale > 0
    assert (0 - int(point)) * scale <= min(low, 0) + scale
    assert (255 - int(point)) * scale >= max(high, 0) - scale


def test_weights_are_off_by_half_a_step_at_most():
    weight = np.random.default_rng(1).normal(size=(30, 5)).astype(np.float32)
    weight[:, 3] = 0

    small, scales = quantise_weight(weight)

    assert small.dtype == np.int8
    assert (np.abs(small * scales - weight) <= 0.501 * scales).all()
    assert not small[:, 3].any()
