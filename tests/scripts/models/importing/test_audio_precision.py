"""Half precision for a classifier of sound whose features are computed in the graph."""

import numpy as np
import pytest
from onnx import TensorProto, load_from_string

from scripts.models.importing.sounds import made_sounds
from scripts.models.precision import convert
from scripts.models.session import run_graph

pytestmark = pytest.mark.integration


def graph_of(repository):
    return (repository.root / "voices" / "1" / "model.onnx").read_bytes()


@pytest.mark.parametrize("kind", ["ast", "wav2vec2_group"])
def test_half_precision_gives_nearly_the_same_scores(heard, kind):
    _, repository, imported = heard(kind)
    weights = graph_of(repository)
    inputs = {"waveform": made_sounds(imported.card.input.samples).windows}

    converted = convert(weights, "fp16")

    before, after = (run_graph(each, inputs, batch=1)["p_fake"] for each in (weights, converted))
    assert np.ptp(before) > 0.1
    np.testing.assert_allclose(after, before, atol=0.02)


def test_a_spectrum_stays_in_single_precision(heard):
    _, repository, _ = heard("ast")

    graph = load_from_string(convert(graph_of(repository), "fp16")).graph

    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert types["waveform/transform"] == types["waveform/bands"] == TensorProto.FLOAT
    assert TensorProto.FLOAT16 in types.values()
