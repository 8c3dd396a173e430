"""A graph is held to its original, on every input and in batches of several sizes."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from scripts.models.errors import RefusedError
from scripts.models.importing import parity
from scripts.models.session import run_graph

SCORES = np.random.default_rng(3).random((7, 1)).astype(np.float32)


def graph(*, over_batch=False):
    """Gives its input back, or less what the batch has in common."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("x", "p_fake")]
    nodes = [helper.make_node("Identity", ["x"], ["p_fake"])]
    constants = []
    if over_batch:
        constants = [helper.make_tensor("axes", TensorProto.INT64, [1], [0])]
        nodes = [
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
            helper.make_node("Sub", ["mean", "mean"], ["nothing"]),
            helper.make_node("Add", ["mean", "nothing"], ["p_fake_of_batch"]),
            helper.make_node("Add", ["x", "p_fake_of_batch"], ["p_fake"]),
        ]
    body = helper.make_graph(nodes, "graph", ends[:1], ends[1:], constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return model.SerializeToString()


def test_the_largest_difference_is_told():
    expected = SCORES[:, 0].astype(np.float64)
    expected[3] += 5e-4

    found = parity.check(graph(), {"x": SCORES}, expected, framework="torch 1")

    assert (found.framework, found.n) == ("torch 1", 7)
    assert found.largest == pytest.approx(5e-4, rel=1e-3)


@pytest.mark.parametrize("wrong", [2e-3, np.nan])
def test_another_answer_is_refused(wrong):
    expected = SCORES[:, 0].copy()
    expected[3] += wrong

    with pytest.raises(RefusedError, match="differs from the original"):
        parity.check(graph(), {"x": SCORES}, expected, framework="torch 1")


def test_answers_that_depend_on_the_batch_are_refused():
    expected = run_graph(graph(over_batch=True), {"x": SCORES}, batch=5)["p_fake"]

    with pytest.raises(RefusedError, match="share batches"):
        parity.check(graph(over_batch=True), {"x": SCORES}, expected, framework="torch 1")


def test_certainty_hides_no_other_model():
    # Both are certain that all is real, within 1e-3 of each other, and one is three times as certain as the other.
    sure = np.asarray([[3e-4], [1e-5], [2e-4], [5e-5], [4e-4]], np.float32)

    with pytest.raises(RefusedError, match="log-odds"):
        parity.check(graph(), {"x": sure}, 3 * sure[:, 0].astype(np.float64), framework="torch 1")
