import numpy as np
import onnx
import pytest
from onnx import TensorProto

from scripts.models.errors import RefusedError
from scripts.models.precision import convert, ways
from scripts.models.publish import read_golden
from scripts.models.session import run_graph
from scripts.stack.settings import CHECKOUT

MODELS = CHECKOUT / "model_repository"


def weights_of(model):
    return (MODELS / model / "1" / "model.onnx").read_bytes()


def golden_of(model):
    return read_golden(MODELS, model, 1)


def ends(weights):
    graph = onnx.load_model_from_string(weights).graph
    return [(end.name, end.type.tensor_type.elem_type) for end in (*graph.input, *graph.output)]


@pytest.mark.parametrize("model", ["image_cnn", "audio_transformer"])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 0.01), ("int8", 0.2)])
def test_the_contract_stays_and_the_weights_shrink(model, precision, tolerance):
    inputs, answers = golden_of(model)

    converted = convert(weights_of(model), precision, inputs)

    assert ends(converted) == ends(weights_of(model))
    assert len(converted) < 0.7 * len(weights_of(model))
    found = run_graph(converted, inputs)["p_fake"]
    assert np.abs(found - answers["p_fake"]).max() <= tolerance


def test_half_precision_takes_its_inputs_whole():
    graph = onnx.load_model_from_string(convert(weights_of("audio_transformer"), "fp16")).graph

    halved = [node for node in graph.node if node.op_type == "Cast" and node.input[0] == "waveform"]
    assert not halved
    assert any(tensor.data_type == TensorProto.FLOAT16 for tensor in graph.initializer)


def test_float32_stays_as_it_is():
    assert convert(weights_of("image_cnn"), "fp32") == weights_of("image_cnn")


def test_a_transformer_can_be_brought_to_int8_without_real_inputs():
    inputs, _ = golden_of("audio_transformer")

    assert len(list(ways(weights_of("audio_transformer"), "int8"))) == 1
    assert len(list(ways(weights_of("audio_transformer"), "int8", inputs))) == 2


def test_a_convolutional_network_wants_real_inputs():
    with pytest.raises(RefusedError, match="--calibration-data"):
        convert(weights_of("image_cnn"), "int8")
