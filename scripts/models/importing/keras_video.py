"""Brings video models of Keras: a frame encoder's file with its head's, or one network of whole clips, divided."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from bentos.cards import Card, CropInput, FeatureInput
from bentos.contract import Modality
from bentos.media.prepared import CropShape
from scripts.models.graph_sequences import FEATURES, MASK
from scripts.models.importing import parity
from scripts.models.importing.brought import P_FAKE, Brought, draft_card, draft_config, golden_of
from scripts.models.importing.clips import clips
from scripts.models.importing.keras_heads import Head, HeadGraph, ask_head, head_in_contract, read_head
from scripts.models.importing.keras_loading import framework, to_onnx
from scripts.models.importing.keras_pixels import CHANNELS, Picture, of_fixed_size, read_picture, take_crop
from scripts.models.importing.keras_split import encoder_for, split_clip_network
from scripts.models.importing.outputs import p_fake_of
from scripts.models.importing.scales import RESIZE_FILTER, resized, scale_pixels
from scripts.models.importing.sources import Source
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository
from scripts.models.session import run_graph
from scripts.models.staging import Candidate
from scripts.models.triton_config import Tensor

Floats = NDArray[np.float32]

_GOLDEN: Final = 4
_PIXELS: Final = "pixels"
_PATCH: Final = 8
"""Frames that the original encoder is asked about at once."""


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """A video model of Keras in two parts, and what else is known of it.

    `whole` answers clips of scaled pixels, [n, T, H, W, 3], in one go where the original does; `beside` is the file in
    whose folder the names of the labels may lie.
    """

    encoder: keras.Model
    head: Head
    picture: Picture
    whole: Callable[[Floats], NDArray] | None
    beside: Path
    notes: tuple[str, ...]


def bring_pair(
    encoder: keras.Model, head: keras.Model, source: Source, wishes: Wishes, repository: Repository
) -> list[Brought]:
    """Convert a frame encoder, cut off where its head's features are made, and the head. Errors: those of `bring`."""
    known = read_head(head, wishes)
    picture = read_picture(encoder, wishes)
    part, note = encoder_for(encoder, known.features, wishes)
    parts = _Parts(
        encoder=of_fixed_size(part, picture),
        head=known,
        picture=picture,
        whole=None,
        beside=source.paths[-1],
        notes=(note,),
    )
    return _bring(parts, source, wishes, repository)


def bring_clip_network(network: keras.Model, source: Source, wishes: Wishes, repository: Repository) -> list[Brought]:
    """Divide a network of whole clips into a frame encoder and a head, and convert both. Errors: those of `bring`."""
    picture = read_picture(network, wishes)
    encoder, head = split_clip_network(network)
    known = read_head(head, wishes)

    def whole(values: Floats) -> NDArray:
        return np.concatenate([np.asarray(network(clip[None], training=False)) for clip in values])

    parts = _Parts(
        encoder=of_fixed_size(encoder, picture),
        head=known,
        picture=picture,
        whole=whole,
        beside=source.path,
        notes=(f"Divided into a frame encoder of {known.features} features and a head over {known.frames} frames.",),
    )
    return _bring(parts, source, wishes, repository)


def _bring(parts: _Parts, source: Source, wishes: Wishes, repository: Repository) -> list[Brought]:
    head, picture = parts.head, parts.picture
    shape = CropShape(height=picture.height, width=picture.width, resize_filter=RESIZE_FILTER, margin=wishes.margin)
    wishes.tell("converting the frame encoder")
    encoder_graph = _encoder_in_contract(parts)
    wishes.tell("converting the head")
    head_graph = head_in_contract(head, wishes, beside=parts.beside)
    found = clips(wishes, shape, head.frames)
    wishes.tell(f"asking the original about {len(found)} clips")
    mask = _masks(len(found), head.frames)
    expected = p_fake_of(_ask(parts, found, mask), head_graph.scores, head_graph.reading)
    wishes.tell("comparing the two")
    encoder_weights, head_weights = encoder_graph.SerializeToString(), head_graph.graph.SerializeToString()
    frames = found.reshape(-1, *found.shape[2:])
    features = run_graph(encoder_weights, {"crop": frames}, batch=_PATCH)[FEATURES]
    sequences = features.reshape(len(found), head.frames, head.features)
    given = {FEATURES: np.concatenate([sequences, sequences]), MASK: mask}
    card = draft_card(
        wishes,
        source,
        modality=Modality.VIDEO,
        specification=FeatureInput(frames=head.frames, features=head.features),
        labels=head_graph.reading.names,
        parity=parity.check(head_weights, given, expected, framework=framework()),
    )
    encoder = _encoder_candidate(parts, source, wishes, repository, encoder_weights, frames)
    return [
        Brought(candidate=encoder, notes=(picture.note, resized(picture.height, picture.width), *parts.notes)),
        Brought(
            candidate=_head_candidate(head, head_graph, card, source, wishes, repository, head_weights, given),
            notes=head_graph.notes,
        ),
    ]


def _encoder_in_contract(parts: _Parts) -> ModelProto:
    zeros = np.zeros((2, parts.picture.height, parts.picture.width, CHANNELS), np.float32)
    graph = to_onnx(parts.encoder, [zeros], inputs=[_PIXELS], outputs=[FEATURES])
    return take_crop(graph, parts.picture, source=_PIXELS)


def _masks(clips: int, frames: int) -> Floats:
    """Masks of every clip twice, float32 [2n, T]: whole, and cut short, with gaps, or of a single frame."""
    masks = np.ones((2 * clips, frames), np.float32)
    for number, mask in enumerate(masks[clips:]):
        match number % 3:
            case 0:
                mask[(frames + 1) // 2 :] = 0
            case 1:
                mask[::3] = 0
            case _:
                mask[1:] = 0
    return masks


def _ask(parts: _Parts, found: NDArray[np.uint8], mask: Floats) -> NDArray:
    """What the original answers of every clip twice, with the masks that `_masks` gives."""
    scaled = [scale_pixels(parts.picture.scale, clip) for clip in found]
    features = np.stack([_encoded(parts.encoder, clip) for clip in scaled])
    if parts.whole is None:
        return ask_head(parts.head, np.concatenate([features, features]), mask)
    return np.concatenate([parts.whole(np.stack(scaled)), ask_head(parts.head, features, mask[len(found) :])])


def _encoded(encoder: keras.Model, frames: Floats) -> Floats:
    parts: list[Any] = [
        encoder(frames[start : start + _PATCH], training=False) for start in range(0, len(frames), _PATCH)
    ]
    return np.concatenate([np.asarray(part) for part in parts])


def _encoder_candidate(
    parts: _Parts, source: Source, wishes: Wishes, repository: Repository, weights: bytes, frames: NDArray[np.uint8]
) -> Candidate:
    picture, name = parts.picture, f"{wishes.name}_encoder"
    crop = CropInput(height=picture.height, width=picture.width, resize_filter=RESIZE_FILTER, margin=wishes.margin)
    card = draft_card(wishes, source, modality=Modality.VIDEO, specification=crop, labels=(), parity=None, model=name)
    config = draft_config(
        wishes,
        source,
        modality=Modality.VIDEO,
        inputs=[Tensor(name="crop", dtype="UINT8", shape=(picture.height, picture.width, CHANNELS))],
        outputs=[Tensor(name=FEATURES, dtype="FP32", shape=(parts.head.features,))],
        model=name,
    )
    # Frames of different clips, spread over all of them.
    chosen = frames[np.linspace(0, len(frames) - 1, _GOLDEN).astype(int)]
    inputs, outputs = golden_of(repository, name, weights, {"crop": chosen})
    return Candidate(card=card, weights=weights, config=config, golden_inputs=inputs, golden_outputs=outputs)


def _head_candidate(
    head: Head,
    graph: HeadGraph,
    card: Card,
    source: Source,
    wishes: Wishes,
    repository: Repository,
    weights: bytes,
    given: dict[str, Floats],
) -> Candidate:
    outputs = [P_FAKE]
    if graph.scores_frames:
        outputs.append(Tensor(name="frame_p_fake", dtype="FP32", shape=(head.frames,)))
    config = draft_config(
        wishes,
        source,
        modality=Modality.VIDEO,
        inputs=[
            Tensor(name=FEATURES, dtype="FP32", shape=(head.frames, head.features)),
            Tensor(name=MASK, dtype="FP32", shape=(head.frames,)),
        ],
        outputs=outputs,
    )
    # The last whole clip, and clips with each way in which frames can be missing.
    middle = len(given[MASK]) // 2
    golden = {name: values[middle - 1 : middle - 1 + _GOLDEN] for name, values in given.items()}
    inputs, answers = golden_of(repository, wishes.name, weights, golden)
    return Candidate(card=card, weights=weights, config=config, golden_inputs=inputs, golden_outputs=answers)
