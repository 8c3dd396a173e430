import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper

from scripts.models.calibration import sigmoid
from scripts.models.export_torch import export_torch
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

RNG = np.random.default_rng(11)


class Planes(torch.nn.Module):
    """A tiny torch classifier that wants normalised planes and has three labels, the fake one in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 3 * 4, 3)
        )

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        return self.layers(planes)


class Loudness(torch.nn.Module):
    """A tiny torch model of sound: one logit that grows with the third power of the samples."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return (values**3).mean(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def planes() -> tuple[Planes, ModelProto]:
    torch.manual_seed(0)
    module = Planes()
    return module, export_torch(module, torch.zeros(2, 3, 8, 10), name="planes", output="logits")


def shape(end: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_value or dim.dim_param for dim in end.type.tensor_type.shape.dim]


def identity(version: int = 17, dims: tuple[int | str, ...] = ("n", 4)) -> ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name in ("in", "out")]
    graph = helper.make_graph([helper.make_node("Identity", ["in"], ["out"])], "identity", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)


def test_raw_pixels_in_and_calibrated_score_out_equal_the_framework(planes: tuple[Planes, ModelProto]) -> None:
    module, exported = planes
    preparation = Pixels(layout="NCHW", channels="BGR", scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
    graph = take_pixels(exported, preparation, source="planes")
    graph = give_p_fake(graph, Logits(activation="softmax", fake=1, temperature=1.7), source="logits")
    crops = RNG.integers(0, 256, (5, 8, 10, 3), dtype=np.uint8)

    normalised = (crops[..., ::-1] / 255 - np.asarray([0.4, 0.5, 0.6])) / np.asarray([0.2, 0.3, 0.25])
    with torch.inference_mode():
        logits = module(torch.from_numpy(normalised.transpose(0, 3, 1, 2).astype(np.float32)))
        expected = torch.softmax(logits / 1.7, dim=1)[:, 1:2].numpy()

    assert check_parity(graph, {"crop": crops}, {"p_fake": expected}) < 1e-6
    assert shape(graph.graph.input[0]) == ["batch", 8, 10, 3]
    assert shape(graph.graph.output[0]) == ["batch", 1]
    assert graph.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8


def test_the_batch_is_free(planes: tuple[Planes, ModelProto]) -> None:
    graph = take_pixels(planes[1], Pixels(layout="NCHW"), source="planes")
    crops = RNG.integers(0, 256, (7, 8, 10, 3), dtype=np.uint8)
    whole = run_graph(graph, {"crop": crops})["logits"]
    single = run_graph(graph, {"crop": crops}, batch=1)["logits"]
    np.testing.assert_allclose(whole, single, atol=1e-6)


def test_the_wrapped_model_is_a_copy(planes: tuple[Planes, ModelProto]) -> None:
    before = planes[1].SerializeToString(deterministic=True)
    take_pixels(planes[1], Pixels(layout="NCHW"), source="planes")
    assert planes[1].SerializeToString(deterministic=True) == before


def test_loudness_and_offset_of_a_sound_do_not_change_the_answer() -> None:
    exported = export_torch(Loudness(), torch.zeros(2, 50), name="values", output="logit")
    graph = take_waveform(exported, source="values", samples=50)
    sound = RNG.gamma(1.0, 0.3, (1, 50)).astype(np.float32)
    answers = run_graph(graph, {"waveform": np.concatenate([sound, 0.1 * sound - 0.2, np.zeros_like(sound)])})["logit"]
    assert answers[1, 0] == pytest.approx(answers[0, 0], rel=0.02)
    assert answers[2, 0] == 0


def test_a_waveform_is_taken_by_graphs_of_older_opsets_too() -> None:
    graph = take_waveform(identity(15), source="in", samples=4)
    normalised = run_graph(graph, {"waveform": np.asarray([[1, 2, 3, 4]], np.float32)})["out"]
    assert normalised.mean() == pytest.approx(0, abs=1e-6)
    assert normalised.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("fake", "sign"), [(1, 1), (0, -1)])
def test_a_single_logit_is_read_in_either_label_order(fake: int, sign: int) -> None:
    graph = give_p_fake(identity(), Logits(activation="sigmoid", fake=fake, temperature=2.0), source="out")
    logits = np.asarray([[-30, -1, 0.5, 30]], np.float32)
    np.testing.assert_allclose(run_graph(graph, {"in": logits})["p_fake"], sigmoid(sign * logits / 2), atol=1e-6)


def test_the_probabilities_of_several_fake_labels_add_up() -> None:
    graph = give_p_fake(identity(), Logits(activation="softmax", fake=(1, 3), temperature=2.0), source="out")
    logits = np.asarray([[-3, 1, 0.5, 2], [9, 0, 0, -9]], np.float32)
    expected = torch.softmax(torch.from_numpy(logits) / 2, dim=1)[:, [1, 3]].sum(dim=1, keepdim=True).numpy()

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
