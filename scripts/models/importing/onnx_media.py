"""What an ONNX file of one input takes: pictures or waveforms, and real ones of them prepared for it."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from bentos.cards import CropInput, WaveformInput
from bentos.contract import Modality
from bentos.media.prepared import CropShape
from scripts.models.errors import RefusedError
from scripts.models.graph import Pixels
from scripts.models.graph_parts import shape_of
from scripts.models.importing.images import carried_pictures, pictures_of
from scripts.models.importing.onnx_loading import OnnxFile, in_words
from scripts.models.importing.scales import RESIZE_FILTER, choices, find_scale, resized, scale_pixels
from scripts.models.importing.sounds import made_sounds, recorded_sounds
from scripts.models.importing.wishes import Wishes

RATE: Final = 16_000
DEFAULT_S: Final = 4
"""Seconds of a window where the file takes waveforms of any length."""
SOUND_SCALES: Final = ("raw", "normalised")

_CHANNELS: Final = 3
_SHORTEST: Final = RATE // 4
_FLOOR: Final = 1e-7


@dataclass(frozen=True, kw_only=True)
class Medium:
    """Real media for the contract's input `name`, [n, ...], the same as the file wants them, and how to card them."""

    name: str
    given: NDArray
    prepared: NDArray
    specification: CropInput | WaveformInput
    modality: Modality
    pixels: Pixels | None
    normalised: bool
    notes: tuple[str, ...]


def read_medium(file: OnnxFile, wishes: Wishes) -> Medium:
    """Say what a file takes, and prepare real media for it and for the contract.

    Raises:
        RefusedError: It takes neither pictures nor waveforms, or how they are prepared is not on the command line.
    """
    [end] = file.inputs
    kind, shape = end.type.tensor_type.elem_type, shape_of(end)
    match len(shape):
        case 4 if kind == TensorProto.UINT8 and in_contract(file):
            return _picture(file, wishes, shape[1:3], Pixels(), notes=("The graph speaks the contract already.",))
        case 4 if kind == TensorProto.FLOAT:
            layout, size = _layout(file, shape)
            if wishes.scale is None:
                raise RefusedError(
                    "Nothing in an ONNX file says what was done to pixels before it. Add --scale with what the "
                    f"training code did: {choices()}."
                )
            scale = find_scale(wishes.scale)
            pixels = Pixels(
                layout=layout,
                channels=scale.pixels.channels,
                scale=scale.pixels.scale,
                mean=scale.pixels.mean,
                std=scale.pixels.std,
            )
            return _picture(file, wishes, size, pixels, notes=(f"Before the graph: {scale.meaning} (as asked).",))
        case 2 if kind == TensorProto.FLOAT:
            return _sound(file, wishes, shape[1])
        case _:
            raise RefusedError(
                f"{file.path.name} takes {in_words([end])}. Known are pictures of 32-bit floats, [batch, 3, height, "
                "width] or [batch, height, width, 3], waveforms of 32-bit floats, [batch, samples], and the contract "
                "of model_repository/README.md. Export it so."
            )


def _layout(file: OnnxFile, shape: list[int | str]) -> tuple[Literal["NCHW", "NHWC"], list[int | str]]:
    first, last = shape[1] == _CHANNELS, shape[3] == _CHANNELS
    if first == last:
        raise RefusedError(
            f"{file.path.name} takes {in_words(file.inputs)}, which has its three channels neither clearly first nor "
            "clearly last. Export it for RGB pictures, [batch, 3, height, width] or [batch, height, width, 3]."
        )
    return ("NCHW", shape[2:4]) if first else ("NHWC", shape[1:3])


def _picture(
    file: OnnxFile, wishes: Wishes, size: list[int | str], pixels: Pixels, *, notes: tuple[str, ...]
) -> Medium:
    height, width = (_side(file, each, wishes) for each in size)
    shape = CropShape(height=height, width=width, resize_filter=RESIZE_FILTER, margin=wishes.margin)
    crops = pictures_of(wishes.samples, shape) if wishes.samples else carried_pictures(shape)
    prepared: NDArray = crops
    if not in_contract(file):
        prepared = scale_pixels(find_scale(wishes.scale or ""), crops)
        prepared = np.ascontiguousarray(prepared.transpose(0, 3, 1, 2) if pixels.layout == "NCHW" else prepared)
    return Medium(
        name="crop",
        given=crops,
        prepared=prepared,
        specification=CropInput(height=height, width=width, resize_filter=RESIZE_FILTER, margin=wishes.margin),
        modality=Modality.IMAGE,
        pixels=pixels,
        normalised=False,
        notes=(*notes, resized(height, width)),
    )


def _side(file: OnnxFile, size: int | str, wishes: Wishes) -> int:
    if isinstance(size, int):
        if wishes.input_size not in {None, size}:
            raise RefusedError(f"{file.path.name} takes pictures of {size} pixels a side; leave --input-size out.")
        return size
    if wishes.input_size is None:
        raise RefusedError(
            f"{file.path.name} takes pictures of any size. Say which one it was trained on, as in --input-size 224."
        )
    return wishes.input_size


def _sound(file: OnnxFile, wishes: Wishes, length: int | str) -> Medium:
    samples = length if isinstance(length, int) else DEFAULT_S * RATE
    if samples < _SHORTEST:
        raise RefusedError(
            f"{file.path.name} takes {in_words(file.inputs)}, which is too short for a waveform at {RATE} Hz. Features "
            "of sound are not taken; export the model with what makes them of the waveform."
        )
    if not in_contract(file) and wishes.scale not in SOUND_SCALES:
        raise RefusedError(
            "Nothing in an ONNX file says how sound is prepared for it. Add --scale raw where it takes samples as they "
            "are, from -1 to 1, or --scale normalised where each window is brought to zero mean and unit variance, as "
            "by the feature extractor of Wav2Vec2."
        )
    sounds = recorded_sounds(wishes.samples, samples) if wishes.samples else made_sounds(samples)
    windows = sounds.windows
    normalised = not in_contract(file) and wishes.scale == "normalised"
    prepared = windows
    if normalised:
        centred = windows - windows.mean(axis=1, keepdims=True)
        prepared = (centred / np.sqrt(windows.var(axis=1, keepdims=True) + _FLOOR)).astype(np.float32)
    open_length = "" if isinstance(length, int) else ", because the file takes any length"
    return Medium(
        name="waveform",
        given=windows,
        prepared=prepared,
        specification=WaveformInput(samples=samples, hop=samples // 2),
        modality=Modality.AUDIO,
        pixels=None,
        normalised=normalised,
        notes=(f"Windows are {samples / RATE:.3g} s of sound at {RATE} Hz{open_length}.",),
    )


def in_contract(file: OnnxFile) -> bool:
    """Whether the ends already have the contract's names and types, so that nothing is to be added."""
    ends = [(end.name, end.type.tensor_type.elem_type) for end in (*file.inputs, *file.model.graph.output)]
    return ends in (
        [("crop", TensorProto.UINT8), ("p_fake", TensorProto.FLOAT)],
        [("waveform", TensorProto.FLOAT), ("p_fake", TensorProto.FLOAT)],
    )
