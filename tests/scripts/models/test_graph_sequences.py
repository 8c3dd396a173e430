import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from scripts.models.graph_parts import GraphError
from scripts.models.graph_sequences import as_column, clip_and_frames, frames_in_order, one_logit, take_sequence
from scripts.models.session import run_graph

FRAMES, FEATURES = 4, 2
VALUES = np.arange(8, dtype=np.float32).reshape(1, FRAMES, FEATURES) + 1


def passing(*, seen: int | None = None, steps: int | str = FRAMES) -> ModelProto:
    """A head that shows what it was given: `out` is its steps, and `seen_out` its mask where it takes one."""
    inputs = [helper.make_tensor_value_info("steps", TensorProto.FLOAT, ["n", steps, FEATURES])]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", steps, FEATURES])]
    nodes = [helper.make_node("Identity", ["steps"], ["out"])]
    if seen is not None:
        inputs.append(helper.make_tensor_value_info("seen", seen, ["n", steps]))
        outputs.append(helper.make_tensor_value_info("seen_out", seen, ["n", steps]))
        nodes.append(helper.make_node("Identity", ["seen"], ["seen_out"]))
    graph = helper.make_graph(nodes, "passing", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def mask(*steps: int) -> np.ndarray:
    return np.asarray([steps], np.float32)


def shown(graph: ModelProto, of: np.ndarray, values: np.ndarray = VALUES) -> list[float]:
    """The first feature of every step that the head is shown."""
    return run_graph(graph, {"features": values, "mask": of})["out"][0, :, 0].tolist()


@pytest.mark.parametrize(
    ("of", "first_features"),
    [
        (mask(1, 1, 1, 1), [1, 3, 5, 7]),
        (mask(1, 1, 0, 0), [1, 1, 3, 3]),
        (mask(0, 1, 0, 1), [3, 3, 7, 7]),
        (mask(1, 1, 1, 0), [1, 1, 3, 5]),
        (mask(0, 0, 1, 0), [5, 5, 5, 5]),
        (mask(0, 0, 0, 0), [0, 0, 0, 0]),
    ],
    ids=["whole", "early-end", "gaps", "one-missing", "single", "none"],
)
def test_frames_that_are_missing_are_made_up_for_by_repeating_the_others_evenly(of, first_features):
    assert shown(take_sequence(passing(), "repeat", steps="steps", frames=FRAMES), of) == first_features


@pytest.mark.parametrize("missing", ["repeat", "fill"])
def test_what_stands_in_a_masked_step_changes_nothing_even_if_it_is_no_number(missing):
    graph = take_sequence(passing(), missing, steps="steps", frames=FRAMES, fill=-9.0)
    spoilt = VALUES.copy()
    spoilt[0, 2] = np.nan

    of = mask(1, 1, 0, 1)

    assert shown(graph, of, spoilt) == shown(graph, of)


def test_a_masking_layer_finds_its_value_in_steps_without_a_frame():
    graph = take_sequence(passing(), "fill", steps="steps", frames=FRAMES, fill=-9.0)
    assert shown(graph, mask(1, 0, 1, 0)) == [1, -9, 5, -9]


@pytest.mark.parametrize("kind", [TensorProto.BOOL, TensorProto.FLOAT, TensorProto.INT32])
def test_a_mask_of_the_heads_own_gets_the_type_that_it_wants(kind):
    graph = take_sequence(passing(seen=kind), "mask", steps="steps", seen="seen", frames=FRAMES)
    answers = run_graph(graph, {"features": VALUES, "mask": mask(1, 0, 0.9, 0)})
    assert answers["seen_out"].astype(int).tolist() == [[1, 0, 1, 0]]
    assert [end.name for end in graph.graph.input] == ["features", "mask"]


def test_a_head_of_any_length_gets_the_length_that_was_asked_for():
    graph = take_sequence(passing(steps="T"), "repeat", steps="steps", frames=FRAMES)
    assert [dim.dim_value for dim in graph.graph.input[0].type.tensor_type.shape.dim[1:]] == [FRAMES, FEATURES]


def test_a_head_of_another_length_is_refused():
    with pytest.raises(GraphError, match="5 steps"):
        take_sequence(passing(), "repeat", steps="steps", frames=5)


@pytest.mark.parametrize(("fake", "expected"), [(0, [-1, -1, -1, -1]), (1, [1, 1, 1, 1])])
def test_two_logits_become_their_difference(fake, expected):
    graph = one_logit(passing(), source="out", fake=fake)
    assert run_graph(graph, {"steps": VALUES})["out"][0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (mask(1, 1, 1, 1), [1, 2, 3, 4]),
        # Two frames are shown twice each, at steps 1, 2 and 3, 4.
        (mask(0, 1, 0, 1), [0, 2, 0, 4]),
        (mask(1, 0, 0, 0), [4, 0, 0, 0]),
    ],
    ids=["whole", "gaps", "single"],
)
def test_a_repeated_frame_gets_the_score_of_the_last_step_that_showed_it(of, expected):
    """The head counts its steps, whatever they show."""
    model = passing()
    model.graph.node[0].CopyFrom(helper.make_node("Mul", ["steps", "nought"], ["void"]))
    model.graph.node.append(helper.make_node("ReduceSum", ["void", "last"], ["voids"], keepdims=1))
    model.graph.node.append(helper.make_node("Add", ["voids", "counts"], ["out"]))
    for name, value in (
        ("nought", np.float32(0)),
        ("last", np.asarray([2])),
        ("counts", np.asarray([[[1], [2], [3], [4]]], np.float32)),
    ):
        model.graph.initializer.append(helper.make_tensor(name, *_tensor(value)))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", FRAMES, 1]))

    graph = take_sequence(model, "repeat", steps="steps", frames=FRAMES)
    graph = clip_and_frames(graph, source="out", frames=FRAMES, clip="clip", frame="frames")

    answers = run_graph(graph, {"features": VALUES, "mask": of})
    assert answers["frames"].tolist() == [expected]
    assert answers["clip"].tolist() == [[4]]


def test_scores_of_frames_of_the_heads_own_come_back_in_the_order_of_the_frames():
    graph = take_sequence(passing(), "repeat", steps="steps", frames=FRAMES)
    graph = frames_in_order(one_logit(graph, source="out", fake=1), source="out", frames=FRAMES)
    squares = (VALUES**2).astype(np.float32)
    answers = run_graph(graph, {"features": squares, "mask": mask(0, 1, 0, 1)})["out"]
    # The difference of a frame's two features, where there is a frame.
    np.testing.assert_allclose(answers, [[0, 16 - 9, 0, 64 - 49]])


def test_scores_in_a_row_become_a_column():
    model = passing()
    model.graph.node[0].CopyFrom(helper.make_node("ReduceSum", ["steps", "last"], ["out"], keepdims=0))
    model.graph.initializer.append(helper.make_tensor("last", TensorProto.INT64, [1], [2]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", FRAMES]))

    graph = as_column(model, source="out", frames=FRAMES)

    assert run_graph(graph, {"steps": VALUES})["out"].tolist() == [[[3], [7], [11], [15]]]


def _tensor(value: np.ndarray) -> tuple[int, tuple[int, ...], list[float]]:
    array = np.asarray(value)
    kind = TensorProto.INT64 if array.dtype == np.int64 else TensorProto.FLOAT
    return kind, array.shape, array.ravel().tolist()
