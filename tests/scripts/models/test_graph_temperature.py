import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from scripts.models.calibration import temper
from scripts.models.graph import Logits, give_p_fake
from scripts.models.graph_parts import GraphError
from scripts.models.graph_temperature import heat
from scripts.models.precision import convert
from scripts.models.publish import read_golden
from scripts.models.session import run_graph
from scripts.stack.settings import CHECKOUT

MODELS = CHECKOUT / "model_repository"


def classifier(labels, logits):
    """A graph that gives its input as logits, read as `logits` says."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", labels]) for name in ("x", "logits")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["logits"])], "plain", ends[:1], ends[1:])
    plain = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return give_p_fake(plain, logits, source="logits")


def answers(model, labels, n=64):
    x = (np.random.default_rng(4).standard_normal((n, labels))).astype(np.float32)
    return run_graph(model, {"x": x})["p_fake"]


@pytest.mark.parametrize("name", ["image_cnn", "video_lstm", "audio_transformer"])
def test_every_score_of_a_published_graph_is_tempered_in_place(name):
    model = onnx.load(MODELS / name / "1" / "model.onnx")
    inputs, outputs = read_golden(MODELS, name, 1)

    heated = heat(heat(model, 1.7), 0.8)

    assert len(heated.graph.node) == len(model.graph.node)
    for output, values in run_graph(heated, inputs).items():
        np.testing.assert_allclose(values, temper(outputs[output], 1.7 * 0.8), atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "logits", "in_place"),
    [
        pytest.param(1, Logits(activation="sigmoid", fake=1, temperature=2.0), True, id="sigmoid"),
        pytest.param(1, Logits(activation="sigmoid", fake=0), True, id="negated"),
        pytest.param(2, Logits(activation="softmax", fake=1, temperature=0.5), True, id="two-labels"),
        pytest.param(3, Logits(activation="softmax", fake=1, temperature=1.5), False, id="three-labels"),
        pytest.param(4, Logits(activation="softmax", fake=(1, 2)), False, id="several-mean-fake"),
    ],
)
@pytest.mark.parametrize("factor", [0.4, 3.0])
def test_log_odds_are_divided_however_the_logits_are_read(labels, logits, in_place, factor):
    model = classifier(labels, logits)

    once, twice = heat(model, factor), heat(heat(model, factor), factor)

    np.testing.assert_allclose(answers(once, labels), temper(answers(model, labels), factor), atol=2e-5)
    np.testing.assert_allclose(answers(twice, labels), temper(answers(model, labels), factor**2), atol=2e-5)
    assert (len(once.graph.node) == len(model.graph.node)) is in_place


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_scores_in_fewer_bits_are_tempered_too(precision):
    inputs, _ = read_golden(MODELS, "audio_transformer", 1)
    weights = convert((MODELS / "audio_transformer" / "1" / "model.onnx").read_bytes(), precision, inputs)

    heated = heat(onnx.load_model_from_string(weights), 1.8)

    before, after = (run_graph(each, inputs)["p_fake"] for each in (weights, heated))
    np.testing.assert_allclose(after, temper(before, 1.8), atol=1e-5)


def test_a_graph_without_a_node_for_it_gets_some():
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1]) for name in ("x", "p_fake")]
    graph = helper.make_graph([helper.make_node("Sigmoid", ["x"], ["p_fake"])], "plain", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)

    once = heat(model, 2.0)
    twice = heat(once, 2.0)

    np.testing.assert_allclose(answers(twice, 1), temper(answers(model, 1), 4.0), atol=2e-5)
    assert len(twice.graph.node) == len(once.graph.node)
    certain = run_graph(once, {"x": np.asarray([[-500.0], [500.0]], np.float32)})["p_fake"]
    assert np.isfinite(certain).all()
    assert certain[0] < 0.01
    assert certain[1] > 0.99


def test_what_cannot_be_tempered_is_refused():
    with pytest.raises(GraphError, match="positive"):
        heat(classifier(1, Logits(activation="sigmoid", fake=1)), 0)
    with pytest.raises(GraphError, match="p_fake"):
        heat(onnx.load(MODELS / "video_encoder" / "1" / "model.onnx"), 2.0)
