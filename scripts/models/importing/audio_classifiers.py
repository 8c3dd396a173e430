"""Brings classifiers of sound of transformers (`AutoModelForAudioClassification`), with their features in the graph.

Those that take waveforms (Wav2Vec2, HuBERT, WavLM and their kin), AST, which takes Kaldi's features, and the encoder of
Whisper. What their feature extractor does is read from the source and done by the graph.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime import InferenceSession
from transformers import (
    ASTFeatureExtractor,
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from bentos.cards import Card, WaveformInput
from bentos.contract import Modality
from scripts.models.errors import RefusedError
from scripts.models.fbank import FRAME, HOP, RATE, KaldiFeatures, take_kaldi, take_whisper
from scripts.models.graph import Logits, give_p_fake
from scripts.models.graph_sounds import WAVEFORM, take_clip, take_raw_clip
from scripts.models.importing import parity
from scripts.models.importing.brought import Brought, draft_card, draft_config, golden_of
from scripts.models.importing.checkpoint import FRAMEWORK, load_classifier
from scripts.models.importing.converting import convert
from scripts.models.importing.labels import Reading, read_labels
from scripts.models.importing.licence import licence_of
from scripts.models.importing.sound_networks import MASKING, FeatureNetwork, SoundNetwork
from scripts.models.importing.sounds import Sounds, made_sounds, recorded_sounds
from scripts.models.importing.sources import Source, read_json
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository
from scripts.models.session import open_graph, run_graph
from scripts.models.staging import Candidate
from scripts.models.triton_config import Batching, Tensor

DEFAULT_S: Final = 4
"""Seconds of a window where neither the extractor nor the command line says how much a model hears at once."""
LONGEST_S: Final = 30

_EXTRACTOR_FILES: Final = ("preprocessor_config.json", "processor_config.json")
_BATCHING: Final = Batching(maximum=8, preferred=(2, 4, 8), delay_us=500, queue=128, timeout_us=30_000_000)
"""Windows are long: eight of them keep a processor busy for seconds, and Triton warms the largest batch up."""
_INPUT: Final = "values"
_OUTPUT: Final = "logits"
_GOLDEN: Final = 4


def bring(source: Source, wishes: Wishes, repository: Repository) -> list[Brought]:
    """Convert a classifier of sound, hold it to the original on voices or on the recordings in `wishes.samples`.

    Raises:
        RefusedError: Its extractor is missing or not known here, it wants another rate than 16 kHz, it is unclear which
            label means fake, the weights are not safetensors, or the graph does not answer what the original answers.
        ModelsError: There is not enough memory.
    """
    extractor = _extractor(source)
    config: Any = _config(source)
    samples, heard = _window(extractor, config, wishes)
    reading = read_labels(config.id2label, wishes.fake_labels)
    sounds = recorded_sounds(wishes.samples, samples) if wishes.samples else made_sounds(samples)
    network = load_classifier(AutoModelForAudioClassification, source, wishes, attn_implementation="eager")
    wishes.tell(f"asking the original about {len(sounds)} sounds")
    expected = _ask(network, extractor, reading, sounds)
    wishes.tell("converting it")
    graph = _convert(network, extractor, samples)
    graph = give_p_fake(graph, Logits(activation=reading.activation, fake=reading.fake), source=_OUTPUT)
    weights = graph.SerializeToString()
    session = open_graph(weights)
    wishes.tell("comparing the two")
    alike, caveat = _comparable(session, sounds, expected)
    windows = {WAVEFORM: sounds.windows[alike]}
    card = draft_card(
        wishes,
        source,
        modality=Modality.AUDIO,
        specification=WaveformInput(samples=samples, hop=samples // 2),
        labels=reading.names,
        parity=parity.check(session, windows, expected[alike], framework=FRAMEWORK),
        licence=licence_of(source.path),
    )
    inputs, outputs = golden_of(repository, wishes.name, session, {WAVEFORM: sounds.windows[:_GOLDEN]})
    tensor = Tensor(name=WAVEFORM, dtype="FP32", shape=(samples,))
    candidate = Candidate(
        card=_with_limits(card, caveat),
        weights=weights,
        config=draft_config(wishes, source, modality=Modality.AUDIO, inputs=[tensor], batching=_BATCHING),
        golden_inputs=inputs,
        golden_outputs=outputs,
    )
    return [Brought(candidate=candidate, notes=(reading.note, heard, *caveat))]


def _extractor(source: Source) -> Any:
    """Read the feature extractor that came with the model. Raises `RefusedError`."""
    folder = source.path
    present = [folder / name for name in _EXTRACTOR_FILES if (folder / name).is_file()]
    if not present:
        raise RefusedError(
            f"{folder.name} has no {_EXTRACTOR_FILES[0]}, which says how sound is prepared for the model. Fetch it "
            "from where the model was published, or write it with `save_pretrained` of its feature extractor."
        )
    if read_json(present[0]).get("auto_map"):
        raise RefusedError(
            f"{present[0].name} asks to run Python code that came with the model (auto_map). That is never done here; "
            "bring a model whose feature extractor is one of transformers."
        )
    try:
        with warnings.catch_warnings():
            # With as many bands as AST has, the lowest have no bin of their own; that is so in the original too.
            warnings.simplefilter("ignore", UserWarning)
            extractor: Any = AutoFeatureExtractor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # transformers lets through whatever a damaged file makes its parts raise.
        raise RefusedError(
            f"The feature extractor of {folder.name} cannot be read: {_line(error)} Fetch it again."
        ) from error
    if not isinstance(extractor, (Wav2Vec2FeatureExtractor, ASTFeatureExtractor, WhisperFeatureExtractor)):
        raise RefusedError(
            f"Sound is prepared for {folder.name} by a {type(extractor).__name__}, whose features cannot be put into a "
            "graph here: known are those of Wav2Vec2 and its kin, of AST and of Whisper. Bring a model of one of those."
        )
    if extractor.sampling_rate != RATE:
        raise RefusedError(
            f"{folder.name} listens at {extractor.sampling_rate} Hz. All sound is judged at {RATE} Hz here; bring a "
            "model that was trained on that."
        )
    return extractor


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:") + "."


def _config(source: Source) -> Any:
    try:
        config: Any = AutoConfig.from_pretrained(source.path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # As above.
        raise RefusedError(
            f"config.json of {source.path.name} cannot be read: {_line(error)} Fetch it again."
        ) from error
    if config.problem_type == "multi_label_classification":
        raise RefusedError(
            f"{source.path.name} gives each label a probability of its own (multi_label_classification), so they are "
            "no answer to whether a sound is real or fake. Bring a model that was trained to choose one label."
        )
    return config


def _window(extractor: Any, config: Any, wishes: Wishes) -> tuple[int, str]:
    """Samples of a window, and a sentence on where that comes from. Raises `RefusedError`."""
    wished = wishes.input_size
    match extractor:
        case ASTFeatureExtractor():
            if (config.max_length, config.num_mel_bins) != (extractor.max_length, extractor.num_mel_bins):
                raise RefusedError(
                    f"The extractor makes {extractor.max_length} frames of {extractor.num_mel_bins} bands, and the "
                    f"model takes {config.max_length} of {config.num_mel_bins}. Bring the extractor that belongs to it."
                )
            longest, least = _kaldi(extractor).samples, 1
        case WhisperFeatureExtractor():
            longest = least = _whisper_samples(extractor, config)
        case _:
            if config.model_type not in MASKING:
                raise RefusedError(
                    f"It is not known here how a {config.model_type} model takes a waveform. Known are: "
                    f"{', '.join(sorted(MASKING))}."
                )
            longest, least = LONGEST_S * RATE, RATE
    if wished is None:
        fixed = not isinstance(extractor, Wav2Vec2FeatureExtractor)
        samples = longest if fixed else DEFAULT_S * RATE
        why = "all that the model hears at once" if fixed else "say --input-size for another number of seconds"
        return (
            samples,
            f"A window is {samples / RATE:.2f} s long ({why}), and one begins every {samples / RATE / 2:.2f} s.",
        )
    if not least <= wished * RATE <= longest:
        raise RefusedError(
            f"--input-size is the length of a window in seconds for sound, and this model takes "
            f"{_seconds(least, longest)}; it was {wished}."
        )
    return wished * RATE, f"A window is {wished} s long, as asked, and one begins every {wished / 2:g} s."


def _seconds(least: int, longest: int) -> str:
    if least == longest:
        return f"exactly {longest / RATE:g}: leave it out"
    return f"1 to {longest // RATE}"


def _kaldi(extractor: Any) -> KaldiFeatures:
    normal = extractor.do_normalize
    return KaldiFeatures(
        bands=extractor.num_mel_bins,
        frames=extractor.max_length,
        mean=extractor.mean if normal else 0.0,
        # Twice, so that most values lie between -1 and 1; the extractor does it likewise.
        deviation=2 * extractor.std if normal else 1.0,
    )


def _whisper_samples(extractor: Any, config: Any) -> int:
    """Samples of a chunk of Whisper. Raises `RefusedError` where its features are not the usual ones."""
    frames = 2 * config.max_source_positions
    if (extractor.n_fft, extractor.hop_length, extractor.n_samples) != (FRAME, HOP, frames * HOP):
        raise RefusedError(
            f"The extractor makes features of another kind than Whisper's own: {extractor.n_samples} samples in steps "
            f"of {extractor.hop_length}, frames of {extractor.n_fft}. Bring the extractor that belongs to the model."
        )
    return frames * HOP


def _ask(network: torch.nn.Module, extractor: Any, reading: Reading, sounds: Sounds) -> NDArray[np.float64]:
    """p_fake, [n], by the original with its own extractor, each clip alone and at its own length."""
    if isinstance(extractor, WhisperFeatureExtractor):
        # The noise that some add in training would make every answer another one.
        extractor.dither = 0.0
    with torch.inference_mode(), warnings.catch_warnings():
        # torch does not like how WavLM calls it.
        warnings.simplefilter("ignore", UserWarning)
        logits = [
            network(**extractor(clip, sampling_rate=RATE, return_tensors="pt")).logits[0].double().numpy()
            for clip in sounds.clips()
        ]
    return _p_fake(np.stack(logits), reading)


def _p_fake(logits: NDArray[np.float64], reading: Reading) -> NDArray[np.float64]:
    """p_fake, [n], of logits [n, labels]."""
    if reading.activation == "sigmoid":
        return 1 / (1 + np.exp(-logits[:, 0] if reading.fake == (1,) else logits[:, 0]))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares[:, list(reading.fake)].sum(axis=1) / shares.sum(axis=1)


def _convert(network: torch.nn.Module, extractor: Any, samples: int) -> ModelProto:
    """The graph from `waveform`, float32 [batch, samples], to logits. The network is changed."""
    match extractor:
        case ASTFeatureExtractor():
            features = _kaldi(extractor)
            graph = _export(FeatureNetwork(network, "input_values"), (features.frames, features.bands))
            return take_kaldi(graph, features, source=_INPUT, samples=samples)
        case WhisperFeatureExtractor():
            bands: NDArray[np.float64] = np.asarray(extractor.mel_filters)
            graph = _export(FeatureNetwork(network, "input_features"), (bands.shape[1], samples // HOP))
            return take_whisper(graph, bands, source=_INPUT, samples=samples)
        case _:
            graph = _export(SoundNetwork(network, samples), (samples,))
            take = take_clip if extractor.do_normalize else take_raw_clip
            return take(graph, source=_INPUT, samples=samples)


def _export(module: torch.nn.Module, shape: Sequence[int]) -> ModelProto:
    with warnings.catch_warnings():
        # As above.
        warnings.simplefilter("ignore", UserWarning)
        return convert(module, torch.ones(2, *shape), name=_INPUT, output=_OUTPUT)


def _comparable(
    session: InferenceSession, sounds: Sounds, expected: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Which sounds, bool [n], the graph has to answer as the original, and what is to be said of the others.

    Short clips are among them but for a few networks that look beyond the end of a clip even where they are told of it.
    """
    whole = sounds.whole()
    if whole.all() or not whole.any():
        return np.ones_like(whole), ()
    answers = run_graph(session, {WAVEFORM: sounds.windows[~whole]}, batch=1)["p_fake"].reshape(-1)
    largest = float(np.abs(answers - expected[~whole]).max())
    if largest <= parity.LARGEST:
        return np.ones_like(whole), ()
    caveat = (
        f"Clips that are shorter than the window differ from the original's answer to them by up to {largest:.1e}, "
        "because its layers look beyond the end of a clip."
    )
    return whole, (caveat,)


def _with_limits(card: Card, caveat: tuple[str, ...]) -> Card:
    return msgspec.structs.replace(card, limits=" ".join((card.limits, *caveat)))
