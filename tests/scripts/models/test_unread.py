from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from scripts.models.session import run_graph
from scripts.models.unread import skip_unread_steps

STEPS, HEADS, WIDTH = 5, 2, 8
GENERATOR = np.random.default_rng(3)


def graph(nodes, weights, *, shape=("batch", STEPS, WIDTH), output=("batch", WIDTH)) -> ModelProto:
    made = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def layer(source: str, name: str) -> tuple[list, dict]:
    """A transformer's layer as exporters write it: attention over all steps, a residual, a product, another one."""
    at = name.__add__
    weights = {at(each): GENERATOR.normal(size=(WIDTH, WIDTH)).astype("f4") for each in ("/q", "/k", "/v", "/o", "/f")}
    weights |= {at("/gain"): GENERATOR.normal(size=WIDTH).astype("f4"), at("/scale"): np.asarray(0.5, "f4")}
    weights |= {
        at("/split"): np.asarray([-1, STEPS, HEADS, WIDTH // HEADS]),
        at("/join"): np.asarray([0, STEPS, WIDTH]),
    }
    orders = {"q": [0, 2, 1, 3], "k": [0, 2, 3, 1], "v": [0, 2, 1, 3]}
    nodes = [helper.make_node("LayerNormalization", [source, at("/gain")], [at("/n")], axis=-1)]
    for each, order in orders.items():
        nodes += [
            helper.make_node("MatMul", [at("/n"), at(f"/{each}")], [at(f"/{each}1")]),
            helper.make_node("Reshape", [at(f"/{each}1"), at("/split")], [at(f"/{each}2")]),
            helper.make_node("Transpose", [at(f"/{each}2")], [at(f"/{each}3")], perm=order),
        ]
    nodes += [
        helper.make_node("MatMul", [at("/q3"), at("/k3")], [at("/s")]),
        helper.make_node("Mul", [at("/s"), at("/scale")], [at("/t")]),
        helper.make_node("Softmax", [at("/t")], [at("/p")], axis=-1),
        helper.make_node("MatMul", [at("/p"), at("/v3")], [at("/c")]),
        helper.make_node("Transpose", [at("/c")], [at("/d")], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", [at("/d"), at("/join")], [at("/e")]),
        helper.make_node("MatMul", [at("/e"), at("/o")], [at("/g")]),
        helper.make_node("Add", [at("/g"), source], [at("/h")]),
        helper.make_node("MatMul", [at("/h"), at("/f")], [at("/i")]),
        helper.make_node("Gelu", [at("/i")], [at("/j")]),
        helper.make_node("Add", [at("/j"), at("/h")], [at("/out")]),
    ]
    return nodes, weights


def network(index) -> ModelProto:
    first, of_first = layer("x", "one")
    second, of_second = layer("one/out", "two")
    reading = helper.make_node("Gather", ["two/out", "index"], ["y"], axis=1)
    output = ("batch", WIDTH) if np.ndim(index) == 0 else ("batch", 1, WIDTH)
    return graph([*first, *second, reading], {**of_first, **of_second, "index": np.asarray(index)}, output=output)


def same(model: ModelProto, changed: ModelProto, shape=(3, STEPS, WIDTH)) -> None:
    onnx.checker.check_model(changed, full_check=True)
    inputs = {"x": GENERATOR.normal(size=shape).astype("f4")}
    ours, theirs = (run_graph(each.SerializeToString(), inputs)["y"] for each in (changed, model))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("index", [0, 3, [0]])
def test_the_last_layer_is_computed_for_the_step_that_is_read(index):
    model = network(index)

    changed = skip_unread_steps(model)

    same(model, changed)
    # The step is chosen from the norm, for the query, and from what goes past the attention; read it is as before.
    assert {node.input[0] for node in changed.graph.node if node.op_type == "Gather"} == {
        "two/n",
        "one/out",
        "two/out",
    }
    shapes = {value.name: value for value in onnx.shape_inference.infer_shapes(changed).graph.value_info}
    steps = {name: shapes[name].type.tensor_type.shape.dim[1].dim_value for name in ("two/q1", "two/k1", "two/j")}
    assert steps == {"two/q1": 1, "two/k1": STEPS, "two/j": 1}
    assert Counter(node.op_type for node in skip_unread_steps(changed).graph.node) == Counter(
        node.op_type for node in changed.graph.node
    )


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(helper.make_node("Softmax", ["m"], ["z"], axis=1), id="over-the-steps"),
        pytest.param(
            helper.make_node("ReverseSequence", ["m", "lengths"], ["z"], time_axis=1, batch_axis=0), id="order"
        ),
        pytest.param(helper.make_node("Transpose", ["m"], ["z"]), id="axes"),
    ],
)
def test_what_mixes_the_steps_stays_whole(between):
    weights = {
        "w": GENERATOR.normal(size=(WIDTH, WIDTH)).astype("f4"),
        "index": np.asarray(0),
        "lengths": np.full(WIDTH, STEPS),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        between,
        helper.make_node("Gather", ["z", "index"], ["y"], axis=1),
    ]
    model = graph(nodes, weights, shape=(WIDTH, STEPS, WIDTH), output=(WIDTH, WIDTH))

    changed = skip_unread_steps(model)

    assert [node.op_type for node in changed.graph.node] == [node.op_type for node in model.graph.node]
    same(model, changed, shape=(WIDTH, STEPS, WIDTH))


def test_a_value_that_somebody_else_takes_whole_stays_whole():
    weights = {"w": GENERATOR.normal(size=(WIDTH, WIDTH)).astype("f4"), "index": np.asarray(2)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Gather", ["m", "index"], ["one"], axis=1),
        helper.make_node("ReduceMax", ["m", "axis"], ["all"], keepdims=0),
        helper.make_node("Add", ["one", "all"], ["y"]),
    ]
    model = graph(nodes, weights | {"axis": np.asarray([1])})
    changed = skip_unread_steps(model)
    same(model, changed)
    assert Counter(node.op_type for node in changed.graph.node) == Counter(node.op_type for node in nodes)
