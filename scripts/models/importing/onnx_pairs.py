"""Brings two ONNX files that speak the repository's contract of video: a frame encoder and the head of its features."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from bentos.cards import CropInput, FeatureInput
from bentos.contract import Modality
from bentos.media.prepared import CropShape
from scripts.models.errors import RefusedError
from scripts.models.graph_parts import BATCH, copy_of, real_inputs, shape_of
from scripts.models.graph_sequences import FEATURES, MASK
from scripts.models.importing import parity
from scripts.models.importing.brought import P_FAKE, Brought, draft_card, draft_config, golden_of
from scripts.models.importing.clips import clips
from scripts.models.importing.onnx_loading import FRAMEWORK, OnnxFile, in_words, load_onnx
from scripts.models.importing.scales import RESIZE_FILTER, resized
from scripts.models.importing.sources import Source
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository
from scripts.models.staging import Candidate
from scripts.models.triton_config import Tensor

LABELS: Final = ("real", "fake")

_GOLDEN: Final = 4
_FLOAT, _BYTES = TensorProto.FLOAT, TensorProto.UINT8


def bring_pair(source: Source, wishes: Wishes, repository: Repository) -> list[Brought]:
    """Take a frame encoder and its head as they are, and hold them to their files on real clips.

    Raises:
        RefusedError: They do not speak the contract, do not belong together, or answer another thing in a batch.
        ModelsError: A file cannot be read.
    """
    encoder, head = (load_onnx(path) for path in source.paths)
    height, width, features = _encoder_sizes(encoder)
    frames = _head_frames(head, features)
    shape = CropShape(height=height, width=width, resize_filter=RESIZE_FILTER, margin=wishes.margin)
    found = clips(wishes, shape, frames)
    wishes.tell(f"asking the original about {len(found)} clips")
    crops = found.reshape(-1, *found.shape[2:])
    sequences = encoder.ask(crops)[0].reshape(len(found), frames, features)
    mask = np.ones((2 * len(found), frames), np.float32)
    mask[len(found) :, (frames + 1) // 2 :] = 0
    given: dict[str, NDArray] = {FEATURES: np.concatenate([sequences, sequences]), MASK: mask}
    expected, *own_frames = head.ask(*(given[end.name] for end in head.inputs))
    if expected.shape != (len(mask), 1) or expected.min() < 0 or expected.max() > 1:
        raise RefusedError(
            f"p_fake of {head.path.name} is not one probability a clip. Export it as [batch, 1] from 0 to 1."
        )
    weights = {name: _free(file.model).SerializeToString() for name, file in (("encoder", encoder), ("head", head))}
    crop = CropInput(height=height, width=width, resize_filter=RESIZE_FILTER, margin=wishes.margin)
    first = f"{wishes.name}_encoder"
    inputs, outputs = golden_of(repository, first, weights["encoder"], {"crop": crops[::frames][:_GOLDEN]})
    encoder_candidate = Candidate(
        card=draft_card(
            wishes, source, modality=Modality.VIDEO, specification=crop, labels=(), parity=None, model=first
        ),
        weights=weights["encoder"],
        config=draft_config(
            wishes,
            source,
            modality=Modality.VIDEO,
            inputs=[Tensor(name="crop", dtype="UINT8", shape=(height, width, 3))],
            outputs=[Tensor(name=FEATURES, dtype="FP32", shape=(features,))],
            model=first,
        ),
        golden_inputs=inputs,
        golden_outputs=outputs,
    )
    inputs, outputs = golden_of(
        repository, wishes.name, weights["head"], {name: values[-_GOLDEN:] for name, values in given.items()}
    )
    of_frames = [Tensor(name="frame_p_fake", dtype="FP32", shape=(frames,))] if own_frames else []
    head_candidate = Candidate(
        card=draft_card(
            wishes,
            source,
            modality=Modality.VIDEO,
            specification=FeatureInput(frames=frames, features=features),
            labels=LABELS,
            parity=parity.check(weights["head"], given, expected, framework=FRAMEWORK),
        ),
        weights=weights["head"],
        config=draft_config(
            wishes,
            source,
            modality=Modality.VIDEO,
            inputs=[
                Tensor(name=FEATURES, dtype="FP32", shape=(frames, features)),
                Tensor(name=MASK, dtype="FP32", shape=(frames,)),
            ],
            outputs=[P_FAKE, *of_frames],
        ),
        golden_inputs=inputs,
        golden_outputs=outputs,
    )
    notes = ("The two speak the contract already.", resized(height, width))
    return [Brought(candidate=encoder_candidate, notes=notes), Brought(candidate=head_candidate)]


def _encoder_sizes(file: OnnxFile) -> tuple[int, int, int]:
    ends = _ends(file)
    match ends:
        case [("crop", TensorProto.UINT8, [_, int(height), int(width), 3])], [
            ("features", TensorProto.FLOAT, [_, int(features)])
        ]:
            return height, width, features
        case _:
            raise RefusedError(
                _no_part(file, "crop uint8 [batch, height, width, 3] and gives features float [batch, D]")
            )


def _head_frames(file: OnnxFile, features: int) -> int:
    taken, given = _ends(file)
    match sorted(taken):
        case [
            ("features", TensorProto.FLOAT, [_, int(frames), int(width)]),
            ("mask", TensorProto.FLOAT, [_, int(steps)]),
        ]:
            if [name for name, _, _ in given] not in (["p_fake"], ["p_fake", "frame_p_fake"]) or steps != frames:
                raise RefusedError(_no_part(file, "features and mask and gives p_fake, and perhaps frame_p_fake"))
            if width != features:
                raise RefusedError(
                    f"{file.path.name} takes {width} features a frame and the encoder gives {features}. The two do not "
                    "belong together; bring the head's own encoder."
                )
            return frames
        case _:
            raise RefusedError(_no_part(file, "features float [batch, T, D] and mask float [batch, T]"))


def _ends(file: OnnxFile) -> tuple[list[tuple[str, int, list[int | str]]], list[tuple[str, int, list[int | str]]]]:
    taken, given = (
        [(end.name, end.type.tensor_type.elem_type, shape_of(end)) for end in ends]
        for ends in (real_inputs(file.model), file.model.graph.output)
    )
    return taken, given


def _no_part(file: OnnxFile, wanted: str) -> str:
    return (
        f"{file.path.name} takes {in_words(file.inputs)} and gives {in_words(file.model.graph.output)}. Of two ONNX "
        "files the first is a frame encoder and the second its head, in the contract of model_repository/README.md: it "
        f"takes {wanted}. Export it so, or bring the two as Keras files."
    )


def _free(model: ModelProto) -> ModelProto:
    """The graph with the batch of every end open."""
    copy = copy_of(model)
    for end in (*real_inputs(copy), *copy.graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = BATCH
    return copy
