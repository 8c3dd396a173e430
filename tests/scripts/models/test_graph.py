import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper
from scipy.special import softmax

from scripts.models.calibration import sigmoid
from scripts.models.graph import (
    GraphError,
    Logits,
    Pixels,
    give_p_fake,
    opset,
    rename_ends,
    take_pixels,
    take_waveform,
)
from scripts.models.session import ParityError, check_parity, run_graph


def shape(end: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_value or dim.dim_param for dim in end.type.tensor_type.shape.dim]


def identity(version: int = 17, dims: tuple[int | str, ...] = ("n", 4)) -> ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name in ("in", "out")]
    graph = helper.make_graph([helper.make_node("Identity", ["in"], ["out"])], "identity", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)


def test_a_waveform_is_taken_by_graphs_of_older_opsets_too() -> None:
    graph = take_waveform(identity(15), source="in", samples=4)
    normalised = run_graph(graph, {"waveform": np.asarray([[1, 2, 3, 4]], np.float32)})["out"]
    assert normalised.mean() == pytest.approx(0, abs=1e-6)
    assert normalised.std() == pytest.approx(1, abs=1e-4)


def test_what_an_exporter_noted_of_its_machine_is_left_out() -> None:
    model = identity()
    for part in (model.graph.node[0], model.graph, model.graph.input[0]):
        note = part.metadata_props.add()
        note.key, note.value = "stack_trace", "File /home/somebody/secret.py"
    model.graph.node[0].doc_string = "/home/somebody"
    renamed = rename_ends(model, inputs=["x"], outputs=["y"])
    assert b"somebody" not in renamed.SerializeToString()
    assert b"somebody" in model.SerializeToString()


@pytest.mark.parametrize(("fake", "sign"), [(1, 1), (0, -1)])
def test_a_single_logit_is_read_in_either_label_order(fake: int, sign: int) -> None:
    graph = give_p_fake(identity(), Logits(activation="sigmoid", fake=fake, temperature=2.0), source="out")
    logits = np.asarray([[-30, -1, 0.5, 30]], np.float32)
    np.testing.assert_allclose(run_graph(graph, {"in": logits})["p_fake"], sigmoid(sign * logits / 2), atol=1e-6)


def test_the_probabilities_of_several_fake_labels_add_up() -> None:
    graph = give_p_fake(identity(), Logits(activation="softmax", fake=(1, 3), temperature=2.0), source="out")
    logits = np.asarray([[-3, 1, 0.5, 2], [9, 0, 0, -9]], np.float32)
    expected = softmax(logits / 2, axis=1)[:, [1, 3]].sum(axis=1, keepdims=True)

    np.testing.assert_allclose(run_graph(graph, {"in": logits})["p_fake"], expected, atol=1e-6)
    assert shape(graph.graph.output[0]) == ["n", 1]


def test_what_cannot_be_wrapped_is_refused() -> None:
    with pytest.raises(GraphError, match="opset"):
        opset(identity(11))
    with pytest.raises(GraphError, match="no pixels"):
        take_pixels(identity(), Pixels(), source="pixels")
    with pytest.raises(GraphError, match="fixed size"):
        take_pixels(identity(dims=("n", "h", "w", 3)), Pixels(), source="in")
    with pytest.raises(GraphError, match="no label 4"):
        give_p_fake(identity(), Logits(activation="softmax", fake=4), source="out")
    with pytest.raises(GraphError, match="positive"):
        give_p_fake(identity(), Logits(activation="sigmoid", fake=1, temperature=0), source="out")
    with pytest.raises(GraphError, match="not"):
        rename_ends(identity(), inputs=["a", "b"], outputs=["c"])


def test_a_name_inside_the_graph_is_not_given_away() -> None:
    model = identity()
    model.graph.node[0].output[0] = "middle"
    model.graph.node.append(helper.make_node("Relu", ["middle"], ["out"]))
    with pytest.raises(GraphError, match="middle"):
        rename_ends(model, inputs=["middle"], outputs=["out"])


def test_a_graph_that_answers_something_else_does_not_pass() -> None:
    values = np.ones((1, 4), np.float32)
    with pytest.raises(ParityError, match="differs"):
        check_parity(identity(), {"in": values}, {"out": values + 2e-5})
