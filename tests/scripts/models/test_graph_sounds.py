import numpy as np
import pytest
from onnx import TensorProto, helper

from scripts.demo.speech import draw_voice, speak
from scripts.models.graph import GraphError
from scripts.models.graph_sounds import SHORTEST, take_clip, take_raw_clip
from scripts.models.session import run_graph

SAMPLES = 8000


def identity(*dims, opset=18):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *dims]) for name in ("in", "out")]
    graph = helper.make_graph([helper.make_node("Identity", ["in"], ["out"])], "identity", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def clips(lengths):
    """Voices of these lengths, each followed by zeros."""
    rng = np.random.default_rng(3)
    sounds = np.zeros((len(lengths), SAMPLES), np.float32)
    for sound, length in zip(sounds, lengths, strict=True):
        sound[:length] = speak(rng, draw_voice(rng), length)
    return sounds


def test_silence_and_a_click_stay_finite():
    sounds = np.zeros((2, SAMPLES), np.float32)
    sounds[1, 3] = 1

    silence, click = run_graph(take_clip(identity(SAMPLES), source="in", samples=SAMPLES), {"waveform": sounds})["out"]

    assert not silence.any()
    assert np.isfinite(click).all()
    # It is measured over the shortest length that a sound may have, not over the few samples up to the click.
    assert click[3] == pytest.approx(SHORTEST**0.5, rel=0.01)


def test_sound_can_be_taken_as_it_is():
    sounds = clips([SAMPLES, 100])
    graph = take_raw_clip(identity(SAMPLES), source="in", samples=SAMPLES)

    np.testing.assert_array_equal(run_graph(graph, {"waveform": sounds})["out"], sounds)


def test_an_older_opset_is_refused():
    with pytest.raises(GraphError, match="opset 18"):
        take_clip(identity(SAMPLES, opset=17), source="in", samples=SAMPLES)
