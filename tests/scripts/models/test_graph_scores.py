import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from scripts.models.graph import Logits, give_p_fake
from scripts.models.graph_scores import flatten_scores, scores_of, to_logits
from scripts.models.session import run_graph

LOGITS = np.random.default_rng(4).normal(0, 4, (6, 3)).astype(np.float32)


def chain(*operators: str, labels: int = 3, **attributes: int) -> ModelProto:
    """A graph that puts these operators one after the other over `in`, [n, labels]; `attributes` are the last one's."""
    names = ["in", *(f"v{number}" for number in range(1, len(operators))), "out"]
    nodes = [
        helper.make_node(operator, [names[at]], [names[at + 1]], **(attributes if at == len(operators) - 1 else {}))
        for at, operator in enumerate(operators)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", labels]) for name in ("in", "out")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("operators", "told"),
    [
        (("Softmax",), "softmax"),
        (("Softmax", "Identity"), "softmax"),
        (("Sigmoid",), "sigmoid"),
        (("Identity",), None),
        (("Tanh",), None),
    ],
    ids=["softmax", "softmax-then-identity", "sigmoid", "nothing", "tanh"],
)
def test_the_last_nodes_tell_what_an_output_holds(operators, told):
    assert scores_of(chain(*operators), "out") == told


def test_a_softmax_at_the_end_is_taken_off():
    graph = to_logits(chain("Softmax", "Identity"), "softmax", source="out")

    np.testing.assert_array_equal(run_graph(graph, {"in": LOGITS})["out"], LOGITS)


def test_probabilities_of_anything_else_are_undone():
    # Of a soft-max that something else uses too, only the logarithm is left.
    model = chain("Softmax")
    model.graph.node.append(helper.make_node("Neg", ["out"], ["negative"]))
    model.graph.output.append(helper.make_tensor_value_info("negative", TensorProto.FLOAT, ["n", 3]))

    graph = to_logits(model, "softmax", source="out")

    answers = run_graph(graph, {"in": LOGITS})
    np.testing.assert_allclose(softmax(answers["out"]), softmax(LOGITS), atol=1e-6)
    np.testing.assert_allclose(answers["negative"], -softmax(LOGITS), atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_a_temperature_means_the_same_for_probabilities_as_for_logits(temperature):
    reading = Logits(activation="softmax", fake=2, temperature=temperature)
    probabilities = softmax(LOGITS)
    graph = give_p_fake(to_logits(chain("Abs"), "softmax", source="out"), reading, source="out")

    answer = run_graph(graph, {"in": probabilities})["p_fake"]

    np.testing.assert_allclose(answer, softmax(LOGITS / temperature)[:, 2:], atol=1e-6)


def test_a_single_probability_becomes_log_odds_that_stay_finite_at_the_ends():
    graph = to_logits(chain("Abs", labels=1), "sigmoid", source="out")
    probabilities = np.asarray([[0.0], [0.25], [0.5], [1.0]], np.float32)

    logits = run_graph(graph, {"in": probabilities})["out"]

    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits[1:3, 0], [np.log(1 / 3), 0], atol=1e-6)
    assert logits[0, 0] < -20
    assert logits[3, 0] > 20


def test_scores_with_axes_to_spare_are_flattened():
    model = chain("Abs", labels=1)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 1, 1]))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("in", TensorProto.FLOAT, ["n", 1, 1]))

    graph = flatten_scores(model, source="out", count=1)

    assert run_graph(graph, {"in": np.ones((4, 1, 1), np.float32)})["out"].shape == (4, 1)
