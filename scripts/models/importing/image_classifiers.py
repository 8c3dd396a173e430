"""Brings classifiers of pictures of transformers: ViT, SigLIP, Swin, ConvNeXt and whatever else has the class for it.

What their processor does to a crop is read from the source and done by the graph.
"""

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForImageClassification

from bentos.cards import CropInput
from bentos.contract import Modality
from bentos.media.prepared import CropShape
from scripts.models.errors import RefusedError
from scripts.models.graph import Logits, give_p_fake, take_pixels
from scripts.models.importing import parity
from scripts.models.importing.brought import Brought, batching_of, draft_card, draft_config, golden_inputs, golden_of
from scripts.models.importing.checkpoint import FRAMEWORK, load_classifier
from scripts.models.importing.converting import check_input, convert
from scripts.models.importing.images import carried_pictures, pictures_of
from scripts.models.importing.labels import Reading, read_labels
from scripts.models.importing.licence import licence_of
from scripts.models.importing.pixels import Preparation, Processor
from scripts.models.importing.sources import Source
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository
from scripts.models.session import open_graph
from scripts.models.staging import Candidate
from scripts.models.triton_config import Tensor

CROP: Final = "crop"
_GOLDEN: Final = 4
_BATCH: Final = 4
"""Pictures that the original is asked about at once."""


class _Logits(torch.nn.Module):
    """The classifier with one input and one output, as the exporter wants it."""

    def __init__(self, classifier: torch.nn.Module) -> None:
        super().__init__()
        self._classifier = classifier

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Logits [n, labels] of prepared pictures [n, 3, H, W]."""
        return self._classifier(pixel_values=planes).logits


def bring(source: Source, wishes: Wishes, repository: Repository) -> list[Brought]:
    """Convert a classifier of pictures and hold it to the original, on photographs or on those in `wishes.samples`.

    Raises:
        RefusedError: Its processor is missing or does what a graph cannot, it is unclear which label means fake, the
            weights are not safetensors, or the graph does not answer what the original answers.
        ModelsError: There is not enough memory.
    """
    reading = read_labels(_labels(source), wishes.fake_labels)
    processor = Processor(source.path)
    preparation = processor.preparation(wishes.input_size)
    specification = CropInput(
        height=preparation.height,
        width=preparation.width,
        resize_filter=preparation.resize_filter,
        margin=wishes.margin,
    )
    shape = CropShape(
        height=preparation.height,
        width=preparation.width,
        resize_filter=preparation.resize_filter,
        margin=wishes.margin,
    )
    carried = carried_pictures(shape)
    golden_inputs(repository, wishes.name, {CROP: carried[:_GOLDEN]})
    crops = np.concatenate([carried, pictures_of(wishes.samples, shape)]) if wishes.samples else carried
    module = _Logits(load_classifier(AutoModelForImageClassification, source, wishes, attn_implementation="eager"))
    example = torch.zeros(2, 3, preparation.height, preparation.width)
    check_input(module, example)

    wishes.tell(f"asking the original about {len(crops)} pictures")
    expected = _ask(module, processor, reading, crops)
    wishes.tell("converting it")
    graph = convert(module, example, name="planes", output="logits")
    graph = take_pixels(graph, preparation.pixels, source="planes", name=CROP)
    graph = give_p_fake(graph, Logits(activation=reading.activation, fake=reading.fake), source="logits")
    weights = graph.SerializeToString()
    # Each of them holds all weights, and what comes now holds them twice more.
    del module, graph
    wishes.tell("comparing the two")
    session = open_graph(weights)
    checked = parity.check(session, {CROP: crops}, expected, framework=FRAMEWORK)
    inputs, outputs = golden_of(repository, wishes.name, session, {CROP: carried[:_GOLDEN]})
    candidate = Candidate(
        card=draft_card(
            wishes,
            source,
            modality=Modality.IMAGE,
            specification=specification,
            labels=reading.names,
            parity=checked,
            licence=licence_of(source.path),
        ),
        weights=weights,
        config=draft_config(
            wishes,
            source,
            modality=Modality.IMAGE,
            inputs=[Tensor(name=CROP, dtype="UINT8", shape=(preparation.height, preparation.width, 3))],
            batching=batching_of(weights),
        ),
        golden_inputs=inputs,
        golden_outputs=outputs,
    )
    return [Brought(candidate=candidate, notes=(reading.note, *_notes(preparation)))]


def _labels(source: Source) -> dict[int, str]:
    """Names of the labels by number; those that transformers makes up where the configuration has none."""
    problem = source.config.get("problem_type")
    if problem in {"multi_label_classification", "regression"}:
        raise RefusedError(
            f"{source.path.name} was trained for {problem.replace('_', ' ')}, so its values are no probabilities of "
            "real or fake that exclude each other. Bring a model that was trained to choose one label."
        )
    names: Any = source.config.get("id2label")
    if not names:
        count = int(source.config.get("num_labels", 2))
        return {index: f"LABEL_{index}" for index in range(count)}
    try:
        return {int(index): str(name) for index, name in names.items()}
    except (AttributeError, ValueError) as error:
        raise RefusedError(
            f"id2label in config.json of {source.path.name} is no table of numbers and names. Fetch it again."
        ) from error


def _ask(
    module: torch.nn.Module, processor: Processor, reading: Reading, crops: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """p_fake of the original, prepared by its own processor, float64 [n]."""
    scores: list[NDArray[np.float64]] = []
    with torch.inference_mode():
        for start in range(0, len(crops), _BATCH):
            logits = module(torch.from_numpy(processor.planes(crops[start : start + _BATCH]))).double()
            if reading.activation == "sigmoid":
                chances = torch.sigmoid(logits if reading.fake == (1,) else -logits)[:, 0]
            else:
                chances = torch.softmax(logits, dim=-1)[:, list(reading.fake)].sum(dim=-1)
            scores.append(chances.numpy())
    return np.concatenate(scores)


def _notes(preparation: Preparation) -> tuple[str, ...]:
    size = f"{preparation.width} x {preparation.height}"
    notes = (f"It takes crops of {size} pixels, resized by {preparation.resize_filter}.",)
    if preparation.resized is None:
        return notes
    return (
        *notes,
        (
            f"Its processor resizes to {preparation.resized} and cuts the middle out; here the square about a face is "
            f"resized to {size} at once, so --margin says how much is seen around it."
        ),
    )
