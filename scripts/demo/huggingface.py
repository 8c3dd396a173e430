"""Writes what a model engineer starts from: a detector as a hub holds it, and labelled media to measure it on.

The detector is the network of the demo's `audio_transformer`, taken out of the published graph and saved as
transformers saves a `Wav2Vec2ForSequenceClassification`, so the guide's commands have something to import that works.
Usage: `python -m scripts.demo.huggingface FOLDER` writes FOLDER/detector, and FOLDER/media with real/ and fake/ in it.
"""

import sys
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from onnx import GraphProto, numpy_helper
from transformers import Wav2Vec2FeatureExtractor

from bentos.cards import CARD_FILE, read_card
from scripts.demo.audio_model import LABELS, AudioDetector, normalise
from scripts.demo.catalogue import AUDIO_TRANSFORMER
from scripts.demo.release import VERSION
from scripts.demo.samples import forged_audio, genuine_audio
from scripts.models.publish import MODEL_FILE, read_golden
from scripts.stack.settings import CHECKOUT

CLIPS: Final = 24
"""Recordings of each class."""
_FIRST_SEED: Final = 7_000
_REPOSITORY: Final = CHECKOUT / "model_repository"
_PREFIX: Final = "network."
_FIRST_NORM: Final = "wav2vec2.feature_extractor.conv_layers.0.layer_norm"
_LARGEST: Final = 1e-4
"""How far the network may be from the published graph in p_fake."""
_ABOUT: Final = """\
---
license: apache-2.0
pipeline_tag: audio-classification
---
The demo audio detector of Bonafide. It knows one class of artefacts that was made for it and nothing of real forgeries.
"""


def write_detector(folder: Path) -> None:
    """Save the demo's audio network with its feature extractor, as `save_pretrained` does it.

    Raises:
        RuntimeError: The published graph is not that of the network, so both have to be built anew.
    """
    detector = AudioDetector().eval()
    published = onnx.load(_REPOSITORY / AUDIO_TRANSFORMER.name / str(VERSION) / MODEL_FILE)
    weights = _weights(published.graph)
    # Only what hides parts of a sound while training is in no graph.
    missing, unknown = detector.network.load_state_dict(weights, strict=False)
    if unknown or set(missing) - {"wav2vec2.masked_spec_embed"}:
        raise RuntimeError(f"{AUDIO_TRANSFORMER.name} is not the graph of this network: {[*missing, *unknown]}")
    _compare(detector)
    detector.network.config.id2label = dict(enumerate(LABELS))
    detector.network.config.label2id = {label: index for index, label in enumerate(LABELS)}
    detector.network.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    (folder / "README.md").write_text(_ABOUT)


def write_labelled(folder: Path, clips: int = CLIPS) -> None:
    """Write `clips` recordings of voices in `real/` and as many of their vocoder copies in `fake/`."""
    for label, record in (("real", genuine_audio), ("fake", forged_audio)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for index in range(clips):
            # Other voices in each class, so that no sample is another's copy.
            seed = _FIRST_SEED + 2 * index + (label == "fake")
            (folder / label / f"{index:03}.wav").write_bytes(record(seed))


def _weights(graph: GraphProto) -> dict[str, torch.Tensor]:
    """The network's weights by their names in transformers.

    The exporter keeps the names of most; it turned those of linear layers over, and those of the first normalisation
    became a factor and an offset of their own.
    """
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    found = {name.removeprefix(_PREFIX): value for name, value in values.items() if name.startswith(_PREFIX)}
    for node in graph.node:
        for bias in node.input:
            layer = bias.removeprefix(_PREFIX).removesuffix(".bias")
            if node.op_type != "Add" or not bias.startswith(_PREFIX) or f"{layer}.weight" in found:
                continue
            [product] = [makers[each] for each in node.input if each in makers]
            [matrix] = [values[each] for each in product.input if each in values]
            found[f"{layer}.weight"] = matrix.T
    [norm] = [node.output[0] for node in graph.node if node.op_type == "InstanceNormalization"]
    for part in ("weight", "bias"):
        [after] = [node for node in graph.node if norm in node.input]
        [value] = [values[each] for each in after.input if each in values]
        found[f"{_FIRST_NORM}.{part}"] = value[:, 0]
        norm = after.output[0]
    return {name: torch.from_numpy(np.array(value)) for name, value in found.items()}


def _compare(detector: AudioDetector) -> None:
    """Hold the network to the golden answers of the published graph. Raises `RuntimeError` where it is another."""
    inputs, outputs = read_golden(_REPOSITORY, AUDIO_TRANSFORMER.name, VERSION)
    card = read_card((_REPOSITORY / AUDIO_TRANSFORMER.name / str(VERSION) / CARD_FILE).read_bytes())
    temperature = card.calibration.temperature if card.calibration else 1.0
    with torch.inference_mode():
        logits = detector(normalise(torch.from_numpy(inputs["waveform"])))
        answers = torch.softmax(logits / temperature, dim=-1)[:, LABELS.index("spoof")].numpy()
    apart = float(np.abs(answers - outputs["p_fake"].reshape(-1)).max())
    if not apart <= _LARGEST:
        raise RuntimeError(f"the network differs from the published graph by {apart:.1e} in p_fake")


def main() -> None:
    """Write the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m scripts.demo.huggingface FOLDER")
    folder = Path(sys.argv[1])
    write_detector(folder / "detector")
    write_labelled(folder / "media")
    print(f"{folder / 'detector'} can be imported, {folder / 'media'} holds {2 * CLIPS} labelled recordings.")


if __name__ == "__main__":
    main()
