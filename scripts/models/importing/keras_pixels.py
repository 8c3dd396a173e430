"""What a Keras network of pictures wants: the size of its crop, and what is done to pixels before and inside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import keras
from onnx import ModelProto, TensorProto

from scripts.models.errors import RefusedError
from scripts.models.graph import take_pixels
from scripts.models.graph_parts import end_of
from scripts.models.importing.scales import SCALES, Scale, choices, find_scale
from scripts.models.importing.wishes import Wishes

CHANNELS: Final = 3

_SCALING: Final = frozenset({"Rescaling", "Normalization", "Divide", "TrueDivide", "Multiply", "Subtract", "Add"})
"""Layers and operations with which a network begins that scales its pixels itself."""
_PREPROCESSED: Final = {
    "-1..1": ("mobilenet", "xception", "inception", "nasnet", "resnet50v2", "resnet101v2", "resnet152v2"),
    "caffe": ("vgg", "resnet"),
    "imagenet": ("densenet",),
}
"""What `preprocess_input` of keras.applications does, by how the networks' names begin."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Height and width of the crop that a network takes, and what has to be done to its pixels before."""

    height: int
    width: int
    scale: Scale
    note: str


def read_picture(model: keras.Model, wishes: Wishes) -> Picture:
    """Say what a network takes whose input is one picture, or the pictures of a clip, channels last.

    Raises:
        RefusedError: These are no RGB pictures, or size or scaling are neither in the file nor on the command line.
    """
    *_, height, width, channels = model.inputs[0].shape
    if channels != CHANNELS:
        raise RefusedError(
            f"The network takes pictures of the shape {list(model.inputs[0].shape[1:])}; crops are RGB here, with the "
            "channels last. Bring a model of [height, width, 3]."
        )
    height, width = _side(height, wishes), _side(width, wishes)
    scale, note = _scale(model, wishes)
    return Picture(height=height, width=width, scale=scale, note=note)


def of_fixed_size(model: keras.Model, picture: Picture) -> keras.Model:
    """The network itself, or, where it takes pictures of any size, one for this size around it."""
    if None not in model.inputs[0].shape[1:]:
        return model
    pixels = keras.Input((picture.height, picture.width, CHANNELS))
    return keras.Model(pixels, model(pixels))


def take_crop(graph: ModelProto, picture: Picture, *, source: str) -> ModelProto:
    """Put the pixels' scaling in front of an exported network. Raises `RefusedError` where it takes no floats."""
    if end_of(graph.graph.input, source).type.tensor_type.elem_type != TensorProto.FLOAT:
        raise RefusedError(
            "The network takes other numbers than 32-bit floats. Load it with keras.Input of float32 in front of it, "
            "save it again, and bring that."
        )
    return take_pixels(graph, picture.scale.pixels, source=source)


def _side(size: int | None, wishes: Wishes) -> int:
    if size is None:
        if wishes.input_size is None:
            raise RefusedError(
                "The network takes pictures of any size. Say which one it was trained on, as in --input-size 224."
            )
        return wishes.input_size
    if wishes.input_size not in {None, size}:
        raise RefusedError(f"The network takes pictures of {size} pixels a side; leave --input-size out.")
    return size


def _scale(model: keras.Model, wishes: Wishes) -> tuple[Scale, str]:
    first = type(next(_first_operations(model), None)).__name__
    if wishes.scale is not None:
        scale = find_scale(wishes.scale)
        twice = first in _SCALING and scale.name != "raw"
        warning = f" The network scales them once more, by {first}: leave --scale out unless it was trained so."
        return scale, f"Before the network: {scale.meaning} (as asked).{warning if twice else ''}"
    if first in _SCALING:
        return SCALES["raw"], f"Pixels go in as they are, because the network begins with {first}."
    raise RefusedError(
        "Nothing in the network says what was done to its pixels before it. Add --scale with what the training code "
        f"did: {choices()}.{_hint(model)}"
    )


def _first_operations(model: keras.Model) -> Iterator[Any]:
    """The operations behind the input, first the first one that does something, inside models in it too."""
    for operation in model.layers if isinstance(model, keras.Sequential) else model.operations:
        name = type(operation).__name__
        if name == "InputLayer" or name.startswith("Random") or name == "Identity":
            continue
        inner = operation.layer if isinstance(operation, keras.layers.TimeDistributed) else operation
        if isinstance(inner, keras.Model):
            yield from _first_operations(inner)
        else:
            yield inner


def _hint(model: keras.Model) -> str:
    """What networks of that name are usually given, where a part of the model has a name that is known."""
    for name in (part.name for part in (model, *_models_in(model))):
        plain = name.lower().replace("_", "")
        for scale, known in _PREPROCESSED.items():
            if plain.startswith(known):
                return (
                    f" Its part {name} comes with a preprocess_input that is {scale}; whether that was used is not "
                    "said, often it was 1/255."
                )
    return ""


def _models_in(model: keras.Model) -> Iterator[keras.Model]:
    for layer in model.layers:
        inner = layer.layer if isinstance(layer, keras.layers.TimeDistributed) else layer
        if isinstance(inner, keras.Model):
            yield inner
            yield from _models_in(inner)
