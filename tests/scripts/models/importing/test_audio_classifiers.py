"""Classifiers of sound: each class that is published, as a small model of that class that was saved to disk."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

from bentos.cards import WaveformInput
from bentos.contract import Modality
from scripts.demo.speech import draw_voice, speak
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.importing.importer import import_model
from scripts.models.importing.wishes import Wishes
from scripts.models.session import run_graph
from tests.fixtures.media import sound
from tests.fixtures.sound_models import KINDS, save_ast, save_waveform_model, save_whisper

# What the originals themselves are warned of, by torch and by transformers.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning"),
    pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning"),
]
RATE = 16_000


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory):
    """A folder to copy from; nobody changes it."""
    return save_waveform_model(tmp_path_factory.mktemp("sources") / "wav2vec2", "wav2vec2_group")


@pytest.fixture
def folder(wav2vec2, tmp_path):
    """A folder of one's own, to spoil."""
    return shutil.copytree(wav2vec2, tmp_path / "wav2vec2")


def bring(repository, folder, **wishes):
    [imported] = import_model([str(folder)], Wishes(name="voices", **wishes), repository)
    return imported


def weights_of(repository):
    return (repository.root / "voices" / "1" / "model.onnx").read_bytes()


def voice(seconds):
    rng = np.random.default_rng(8)
    return speak(rng, draw_voice(rng), round(seconds * RATE))


def original(folder, clip):
    """What a program that follows the documentation of transformers gets for a clip: the probability of "spoof"."""
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    model = AutoModelForAudioClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(**extractor(clip, sampling_rate=RATE, return_tensors="pt")).logits
    return torch.softmax(logits, dim=-1)[0, model.config.label2id["spoof"]].item()


def served(repository, clip):
    """What the staged graph answers to a clip in its window."""
    window = np.zeros((1, repository.card("voices", 1).input.samples), np.float32)
    window[0, : len(clip)] = clip
    return run_graph(weights_of(repository), {"waveform": window})["p_fake"].item()


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_waveforms_answers_as_its_original(heard, kind):
    folder, repository, imported = heard(kind)

    card = repository.card("voices", 1)
    assert card == imported.card
    assert (card.modality, card.input) == (Modality.AUDIO, WaveformInput(samples=RATE, hop=RATE // 2))
    assert card.label_order == ("bonafide", "spoof")
    assert served(repository, voice(1)) == pytest.approx(original(folder, voice(1)), abs=1e-4)
    if kind == "data2vec":
        assert (card.parity.n, card.parity.largest < 1e-4) == (4, True)
        assert "shorter than the window" in card.limits
    elif kind == "sew":
        assert card.parity.largest < 1e-3
    else:
        assert (card.parity.n, card.parity.largest < 1e-4) == (6, True)
        assert served(repository, voice(0.4)) == pytest.approx(original(folder, voice(0.4)), abs=1e-4)


def test_sound_stays_as_loud_as_it_is_for_a_model_that_wants_it_so(repository, tmp_path):
    folder = save_waveform_model(tmp_path / "raw", "wav2vec2_group", normalise=False)

    bring(repository, folder, input_size=1)

    for clip in (voice(1), 0.01 * voice(0.4)):
        assert served(repository, clip) == pytest.approx(original(folder, clip), abs=1e-4)


def test_ast_gets_its_features_in_the_graph(heard):
    folder, repository, imported = heard("ast")
    card = imported.card

    assert card.input == WaveformInput(samples=127 * 160 + 400, hop=(127 * 160 + 400) // 2)
    assert (card.parity.n, card.parity.largest < 1e-4) == (6, True)
    for seconds, loudness in ((1.29, 1), (0.7, 1), (1.29, 0.01)):
        clip = loudness * voice(seconds)
        assert served(repository, clip) == pytest.approx(original(folder, clip), abs=1e-4)


def test_ast_in_a_shorter_window_is_filled_up_as_the_original_does_it(repository, tmp_path):
    folder = save_ast(tmp_path / "ast", frames=256)

    assert bring(repository, folder, input_size=1).card.input.samples == RATE
    assert served(repository, voice(1)) == pytest.approx(original(folder, voice(1)), abs=1e-4)


def test_whisper_gets_its_features_in_the_graph(repository, tmp_path):
    folder = save_whisper(tmp_path / "whisper")

    assert bring(repository, folder).card.input.samples == 2 * RATE
    for seconds in (2, 0.5):
        assert served(repository, voice(seconds)) == pytest.approx(original(folder, voice(seconds)), abs=1e-4)


def test_weights_of_older_versions_of_torch_find_their_place_and_the_first_label_may_be_the_fake_one(
    repository, tmp_path
):
    folder = save_waveform_model(tmp_path / "old", "wav2vec2_group", labels=("spoof", "bonafide"))
    expected = original(folder, voice(4))
    # Until torch 2.1 the two halves of a normalised weight were called otherwise, as in most that are published.
    weights = load_file(folder / "model.safetensors")
    for new, old in (
        ("parametrizations.weight.original0", "weight_g"),
        ("parametrizations.weight.original1", "weight_v"),
    ):
        prefix = "wav2vec2.encoder.pos_conv_embed.conv."
        weights[prefix + old] = weights.pop(prefix + new)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    imported = bring(repository, folder)

    assert served(repository, voice(4)) == pytest.approx(expected, abs=1e-4)
    # Nothing says how long a window is to be.
    assert imported.card.input == WaveformInput(samples=64_000, hop=32_000)
    assert any("--input-size" in note for note in imported.notes)


def test_recordings_of_one_s_own_are_compared_and_a_pickle_is_opened_where_it_is_trusted(repository, folder, tmp_path):
    expected = original(folder, voice(1))
    only_a_pickle(folder)
    (tmp_path / "mine" / "more").mkdir(parents=True)
    (tmp_path / "mine" / "notes.txt").write_text("These were made in the kitchen.")
    (tmp_path / "mine" / "more" / "clip.wav").write_bytes(sound(voice(2.5)))

    imported = bring(repository, folder, input_size=1, samples=tmp_path / "mine", trust_pickle=True)

    assert imported.card.parity.n == 3
    assert served(repository, voice(1)) == pytest.approx(expected, abs=1e-4)


def test_a_folder_without_recordings_is_refused(repository, folder, tmp_path):
    (tmp_path / "mine").mkdir()

    with pytest.raises(RefusedError, match="--samples"):
        bring(repository, folder, input_size=1, samples=tmp_path / "mine")


def change(folder, file, **entries):
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, **entries}))


def eight_kilohertz(folder):
    change(folder, "preprocessor_config.json", sampling_rate=8000)


def no_extractor(folder):
    (folder / "preprocessor_config.json").unlink()


def unknown_extractor(folder):
    change(folder, "preprocessor_config.json", feature_extractor_type="SeamlessM4TFeatureExtractor")


def broken_extractor(folder):
    (folder / "preprocessor_config.json").write_text("{")


def unclear_labels(folder):
    change(folder, "config.json", id2label={"0": "LABEL_0", "1": "LABEL_1"}, label2id={"LABEL_0": 0, "LABEL_1": 1})


def several_answers(folder):
    change(folder, "config.json", problem_type="multi_label_classification")


def only_a_pickle(folder):
    model = AutoModelForAudioClassification.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def damaged_weights(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def other_architecture(folder):
    change(folder, "config.json", architectures=["Wav2Vec2ForCTC"])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (eight_kilohertz, "listens at 8000 Hz"),
        (no_extractor, "has no preprocessor_config.json"),
        (unknown_extractor, "cannot be put into a graph|cannot be read"),
        (broken_extractor, "preprocessor_config.json|cannot be read"),
        (unclear_labels, "--fake-label"),
        (several_answers, "choose one label"),
        (only_a_pickle, "--trust-pickle"),
        (damaged_weights, "damaged"),
        (other_architecture, "Wav2Vec2ForCTC is no classifier"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_brought_is_refused_with_a_sentence_and_leaves_no_trace(repository, folder, spoil, sentence):
    spoil(folder)

    with pytest.raises(ModelsError, match=sentence):
        bring(repository, folder, input_size=1)
    assert repository.models() == ()
    assert [each.name for each in repository.root.iterdir()] in ([], [".lock"])


@pytest.mark.parametrize("seconds", [0, 31])
def test_a_window_of_another_length_than_the_model_can_hear_is_refused(repository, wav2vec2, seconds):
    with pytest.raises(RefusedError, match="1 to 30"):
        bring(repository, wav2vec2, input_size=seconds)


def test_ast_is_not_given_more_than_it_hears(repository, tmp_path):
    with pytest.raises(RefusedError, match="1 to 1"):
        bring(repository, save_ast(tmp_path / "ast"), input_size=2)
