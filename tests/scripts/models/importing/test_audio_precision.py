"""Half precision for a classifier of sound whose features are computed in the graph."""

import numpy as np
import pytest
from onnx import TensorProto, load_from_string

from scripts.models.importing.importer import import_model
from scripts.models.importing.sounds import made_sounds
from scripts.models.importing.wishes import Wishes
from scripts.models.precision import convert
from scripts.models.repository import Repository
from scripts.models.session import run_graph
from tests.fixtures.sound_models import save_ast, save_waveform_model

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """Weights and window in samples of an imported AST and an imported Wav2Vec2."""
    folder = tmp_path_factory.mktemp("precision")
    (folder / "models").mkdir()
    repository = Repository(folder / "models")
    sources = {"ast": save_ast(folder / "ast"), "wav2vec2": save_waveform_model(folder / "wav2vec2", "wav2vec2_group")}
    found = {}
    for name, source in sources.items():
        wishes = Wishes(name=name, input_size=1 if name == "wav2vec2" else None)
        [imported] = import_model([str(source)], wishes, repository)
        weights = (repository.root / name / "1" / "model.onnx").read_bytes()
        found[name] = (weights, imported.card.input.samples)
    return found


@pytest.mark.parametrize("name", ["ast", "wav2vec2"])
def test_half_precision_gives_nearly_the_same_scores(graphs, name):
    weights, samples = graphs[name]
    inputs = {"waveform": made_sounds(samples).windows}

    converted = convert(weights, "fp16")

    before, after = (run_graph(each, inputs, batch=1)["p_fake"] for each in (weights, converted))
    assert np.ptp(before) > 0.1
    np.testing.assert_allclose(after, before, atol=0.02)


def test_a_spectrum_stays_in_single_precision(graphs):
    weights, _ = graphs["ast"]

    graph = load_from_string(convert(weights, "fp16")).graph

    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert types["waveform/transform"] == types["waveform/bands"] == TensorProto.FLOAT
    assert TensorProto.FLOAT16 in types.values()
