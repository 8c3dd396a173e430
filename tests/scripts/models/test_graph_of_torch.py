"""Networks of torch that are exported and wrapped answer what torch answers."""

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto

from scripts.models.export_torch import export_torch
from scripts.models.graph import Logits, Pixels, give_p_fake, take_pixels, take_waveform
from scripts.models.session import check_parity, run_graph

pytestmark = pytest.mark.integration

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
