"""Brings Keras files, `.keras` and HDF5: image classifiers here, and video models by `keras_video`."""

from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from bentos.cards import CropInput
from bentos.contract import Modality
from bentos.media.prepared import CropShape
from scripts.models.errors import RefusedError
from scripts.models.graph import Logits, give_p_fake
from scripts.models.graph_scores import flatten_scores, to_logits
from scripts.models.importing import parity
from scripts.models.importing.brought import Brought, draft_card, draft_config, golden_of
from scripts.models.importing.images import carried_pictures, pictures_of
from scripts.models.importing.keras_loading import framework, load_keras, to_onnx, without_augmentation
from scripts.models.importing.keras_pixels import CHANNELS, Picture, of_fixed_size, read_picture, take_crop
from scripts.models.importing.keras_video import bring_clip_network, bring_pair
from scripts.models.importing.outputs import p_fake_of, read_output
from scripts.models.importing.scales import RESIZE_FILTER, resized, scale_pixels
from scripts.models.importing.sources import Source
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository
from scripts.models.staging import Candidate
from scripts.models.triton_config import Tensor

GOLDEN: Final = 4

_BATCH: Final = 8
_PIXELS: Final = "pixels"
_SCORES: Final = "scores"


def bring(source: Source, wishes: Wishes, repository: Repository) -> list[Brought]:
    """Convert one Keras file, or a frame encoder's and its head's, and hold the graphs to the originals.

    Raises:
        RefusedError: It is none of the networks that can be served, something has to be said on the command line, or
            the graph does not answer what the original answers.
        ModelsError: A file cannot be read.
    """
    wishes.tell(f"opening {', '.join(path.name for path in source.paths)}")
    networks = [without_augmentation(load_keras(path)) for path in source.paths]
    match [_axes(network) for network in networks]:
        case [(4,)]:
            _want(wishes, Modality.IMAGE)
            return [_bring_classifier(networks[0], source, wishes, repository)]
        case [(5,)]:
            _want(wishes, Modality.VIDEO)
            return bring_clip_network(networks[0], source, wishes, repository)
        case [(4,), (3,) | (3, 2) | (2, 3)]:
            _want(wishes, Modality.VIDEO)
            return bring_pair(networks[0], networks[1], source, wishes, repository)
        case [(3,) | (3, 2) | (2, 3), (4,)]:
            raise RefusedError(
                f"{source.paths[1].name} is the frame encoder and {source.paths[0].name} the head: give the encoder "
                "first."
            )
        case [(3,) | (3, 2) | (2, 3)]:
            raise RefusedError(
                f"{source.path.name} takes features over time, so it is the head of a video model. Give the encoder "
                f"that makes them first, as in `bonafide models import encoder.h5 {source.path.name} --as video_x`."
            )
        case _:
            shapes = "; ".join(str([list(each.shape[1:]) for each in network.inputs]) for network in networks)
            raise RefusedError(
                f"A network of inputs {shapes} is none that can be served: known are pictures [height, width, 3], "
                "clips [frames, height, width, 3], and features [frames, width] with or without a mask [frames]. "
                "Export others to ONNX in the contract of model_repository/README.md, and bring that."
            )


def _axes(network: keras.Model) -> tuple[int, ...]:
    return tuple(len(each.shape) for each in network.inputs)


def _want(wishes: Wishes, modality: Modality) -> None:
    if wishes.modality not in {None, modality}:
        raise RefusedError(
            f"The network judges {modality.value}, not {wishes.modality}; leave --modality out. An image model judges "
            "videos too where a caller asks for it by name."
        )


def _bring_classifier(network: keras.Model, source: Source, wishes: Wishes, repository: Repository) -> Brought:
    if len(network.outputs) != 1:
        raise RefusedError(
            f"The network has {len(network.outputs)} outputs, {[each.name for each in network.outputs]}. Bring one "
            "with the output for real and fake only, `keras.Model(model.inputs, model.outputs[0])`."
        )
    picture = read_picture(network, wishes)
    network = of_fixed_size(network, picture)
    wishes.tell("converting it")
    zeros = np.zeros((2, picture.height, picture.width, CHANNELS), np.float32)
    graph = to_onnx(network, [zeros], inputs=[_PIXELS], outputs=[_SCORES])
    scores, reading = read_output(graph, _SCORES, wishes, beside=source.path)
    shape = CropShape(height=picture.height, width=picture.width, resize_filter=RESIZE_FILTER, margin=wishes.margin)
    crops = pictures_of(wishes.samples, shape) if wishes.samples else carried_pictures(shape)
    wishes.tell(f"asking the original about {len(crops)} pictures")
    answers = _ask(network, picture, crops).reshape(len(crops), -1)
    expected = p_fake_of(answers, scores, reading)
    graph = to_logits(flatten_scores(graph, source=_SCORES, count=answers.shape[1]), scores, source=_SCORES)
    graph = give_p_fake(graph, Logits(activation=reading.activation, fake=reading.fake), source=_SCORES)
    weights = take_crop(graph, picture, source=_PIXELS).SerializeToString()
    wishes.tell("comparing the two")
    card = draft_card(
        wishes,
        source,
        modality=Modality.IMAGE,
        specification=CropInput(
            height=picture.height, width=picture.width, resize_filter=RESIZE_FILTER, margin=wishes.margin
        ),
        labels=reading.names,
        parity=parity.check(weights, {"crop": crops}, expected, framework=framework()),
    )
    inputs, outputs = golden_of(repository, wishes.name, weights, {"crop": crops[:GOLDEN]})
    crop = Tensor(name="crop", dtype="UINT8", shape=(picture.height, picture.width, CHANNELS))
    candidate = Candidate(
        card=card,
        weights=weights,
        config=draft_config(wishes, source, modality=Modality.IMAGE, inputs=[crop]),
        golden_inputs=inputs,
        golden_outputs=outputs,
    )
    return Brought(candidate=candidate, notes=(reading.note, picture.note, resized(picture.height, picture.width)))


def _ask(network: keras.Model, picture: Picture, crops: NDArray[np.uint8]) -> NDArray:
    parts: list[Any] = [
        network(scale_pixels(picture.scale, crops[start : start + _BATCH]), training=False)
        for start in range(0, len(crops), _BATCH)
    ]
    return np.concatenate([np.asarray(part) for part in parts])
