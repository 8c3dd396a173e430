"""What graphs make of sound is what the extractors of transformers make of it."""

import warnings

import numpy as np
import pytest
from onnx import TensorProto, helper
from transformers import ASTFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from scripts.demo.speech import draw_voice, speak
from scripts.models.fbank import KaldiFeatures, take_kaldi, take_whisper
from scripts.models.graph_sounds import take_clip
from scripts.models.session import run_graph

pytestmark = pytest.mark.integration


def identity(*dims):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *dims]) for name in ("in", "out")]
    graph = helper.make_graph([helper.make_node("Identity", ["in"], ["out"])], "identity", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def clips(lengths, samples):
    """Voices of these lengths at several loudnesses, one with an offset, each followed by zeros."""
    rng = np.random.default_rng(4)
    sounds = np.zeros((len(lengths), samples), np.float32)
    for index, (sound, length) in enumerate(zip(sounds, lengths, strict=True)):
        sound[:length] = speak(rng, draw_voice(rng), length) * (1, 0.01, 0.5)[index % 3] + (0, 0, 0.3)[index % 3]
    return sounds


@pytest.fixture
def extractor_of():
    def build(cls, **options):
        with warnings.catch_warnings():
            # With 128 bands the lowest have no bin of their own, in the original as here.
            warnings.simplefilter("ignore", UserWarning)
            return cls(**options)

    return build


@pytest.mark.parametrize(
    ("frames", "samples"), [(98, 16000), (140, 16000), (60, 16000)], ids=["as_long", "more_frames", "fewer_frames"]
)
@pytest.mark.parametrize("bands", [128, 64])
def test_kaldi_features_equal_those_of_the_extractor(extractor_of, frames, samples, bands):
    extractor = extractor_of(ASTFeatureExtractor, max_length=frames, num_mel_bins=bands, mean=-4.0, std=4.5)
    features = KaldiFeatures(bands=bands, frames=frames, mean=-4.0, deviation=9.0)
    lengths = [samples, samples, samples, 9000, 1700]
    sounds = clips(lengths, samples)

    graph = take_kaldi(identity(frames, bands), features, source="in", samples=samples)
    answers = run_graph(graph, {"waveform": sounds})["out"]

    for answer, sound, length in zip(answers, sounds, lengths, strict=True):
        [expected] = extractor(sound[:length], sampling_rate=16000, return_tensors="np")["input_values"]
        np.testing.assert_allclose(answer, expected, atol=5e-4)


@pytest.mark.parametrize("bands", [80, 128])
def test_whisper_features_equal_those_of_the_extractor(extractor_of, bands):
    extractor = extractor_of(WhisperFeatureExtractor, feature_size=bands, chunk_length=2)
    lengths = [32000, 32000, 32000, 9000]
    sounds = clips(lengths, 32000)

    graph = take_whisper(identity(bands, 200), extractor.mel_filters, source="in", samples=32000)
    answers = run_graph(graph, {"waveform": sounds})["out"]

    for answer, sound, length in zip(answers, sounds, lengths, strict=True):
        [expected] = extractor(sound[:length], sampling_rate=16000, return_tensors="np")["input_features"]
        np.testing.assert_allclose(answer, expected, atol=5e-4)


def test_silence_is_at_the_floor(extractor_of):
    extractor = extractor_of(ASTFeatureExtractor, max_length=98)
    features = KaldiFeatures(bands=128, frames=98, mean=extractor.mean, deviation=2 * extractor.std)
    graph = take_kaldi(identity(98, 128), features, source="in", samples=16000)

    [answer] = run_graph(graph, {"waveform": np.zeros((1, 16000), np.float32)})["out"]

    [floor] = extractor(np.zeros(1600, np.float32), sampling_rate=16000, return_tensors="np")["input_values"]
    np.testing.assert_allclose(answer, floor, atol=1e-5)


@pytest.mark.parametrize(("loudness", "offset"), [(1, 0), (0.001, 0), (0.3, 0.4)])
def test_a_clip_is_normalised_as_by_its_extractor_whatever_it_is_filled_up_with(loudness, offset):
    samples, lengths = 8000, [8000, 5000, 1700]
    sounds = np.zeros((len(lengths), samples), np.float32)
    rng = np.random.default_rng(3)
    for sound, length in zip(sounds, lengths, strict=True):
        sound[:length] = loudness * speak(rng, draw_voice(rng), length) + offset

    answers = run_graph(take_clip(identity(samples), source="in", samples=samples), {"waveform": sounds})["out"]

    extractor = Wav2Vec2FeatureExtractor()
    for answer, sound, length in zip(answers, sounds, lengths, strict=True):
        [expected] = extractor(sound[:length], sampling_rate=16000, return_tensors="np")["input_values"]
        np.testing.assert_allclose(answer[:length], expected, atol=2e-4)
        assert not answer[length:].any()
