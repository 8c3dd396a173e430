"""Puts the repository's contract into an exported ONNX graph.

An export of Keras or torch speaks the language of its framework: scaled floats in, logits out. The functions here
rename its ends and add the missing arithmetic as ONNX nodes, so that every version of a model takes raw media and
answers a calibrated `p_fake`, and no serving code has to know what is inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from scripts.models.graph_parts import (
    BATCH,
    GraphError,
    add_constants,
    checked,
    copy_of,
    drop_notes,
    end_of,
    opset,
    prepend,
    real_inputs,
    rename,
    shape_of,
)

_AXES_AS_INPUT_OPSET: Final = 18
_VARIANCE_FLOOR: Final = 1e-7


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What a model's own preprocessing does to uint8 RGB pixels: (pixel * scale - mean) / std, per channel.

    `layout` is the order of axes that the exported graph wants; `channels` its order of colours.
    """

    layout: Literal["NHWC", "NCHW"] = "NHWC"
    channels: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Logits:
    """How to read a model's last layer.

    With "softmax" there is one logit per label and `fake` is the index of the fake one, or those of several, whose
    probabilities add up; with "sigmoid" there is one logit in all, and `fake` is 1 where a high value means fake, 0
    where it means real. `temperature` divides logits.
    """

    activation: Literal["softmax", "sigmoid"]
    fake: int | tuple[int, ...]
    temperature: float = 1.0


def rename_ends(model: ModelProto, *, inputs: Sequence[str], outputs: Sequence[str]) -> ModelProto:
    """Copy of `model` with its inputs and outputs renamed, in their order, and the first axis of each made dynamic.

    Raises:
        GraphError: The counts differ, or a new name is already used inside the graph.
    """
    copy = copy_of(model)
    ends = [*real_inputs(copy), *copy.graph.output]
    if len(real_inputs(copy)) != len(inputs) or len(copy.graph.output) != len(outputs):
        message = f"the graph has {[end.name for end in ends]}, not {[*inputs, *outputs]}"
        raise GraphError(message)
    names = {end.name: new for end, new in zip(ends, [*inputs, *outputs], strict=True)}
    inside = {name for node in copy.graph.node for name in (*node.input, *node.output)} - names.keys()
    if taken := inside & set(names.values()):
        message = f"these names are already used inside the graph: {sorted(taken)}"
        raise GraphError(message)
    rename(copy, names)
    drop_notes(copy)
    for end in ends:
        end.type.tensor_type.shape.dim[0].dim_param = BATCH
    return checked(copy)


def take_pixels(model: ModelProto, pixels: Pixels, *, source: str, name: str = "crop") -> ModelProto:
    """Replace the float input `source` by `name`: uint8 RGB [batch, H, W, 3], with `pixels` done inside the graph.

    Raises:
        GraphError: `source` is not an image input of fixed height and width.
    """
    copy = copy_of(model)
    old = end_of(copy.graph.input, source)
    height, width = _picture_size(old, pixels.layout)
    # One multiplication and one addition per channel, in the order of the channels that the model wants.
    factor = pixels.scale / np.asarray(pixels.std, np.float64)
    offset = -np.asarray(pixels.mean, np.float64) / np.asarray(pixels.std, np.float64)
    # Bytes are brought into planes before they become numbers: both that and the arithmetic by plane are much faster.
    planes = pixels.layout == "NCHW"
    by_channel = (3, 1, 1) if planes else (3,)
    constants: dict[str, NDArray] = {
        f"{name}/factor": factor.astype(np.float32).reshape(by_channel),
        f"{name}/offset": offset.astype(np.float32).reshape(by_channel),
    }
    nodes: list[onnx.NodeProto] = []
    last = name
    if planes:
        nodes.append(helper.make_node("Transpose", [last], [f"{name}/planes"], perm=[0, 3, 1, 2]))
        last = f"{name}/planes"
    if pixels.channels == "BGR":
        constants[f"{name}/reversed"] = np.asarray([2, 1, 0], np.int64)
        axis = 1 if planes else 3
        nodes.append(helper.make_node("Gather", [last, f"{name}/reversed"], [f"{name}/channels"], axis=axis))
        last = f"{name}/channels"
    nodes += [
        helper.make_node("Cast", [last], [f"{name}/float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}/float", f"{name}/factor"], [f"{name}/scaled"]),
        helper.make_node("Add", [f"{name}/scaled", f"{name}/offset"], [f"{name}/normalised"]),
    ]
    prepend(copy, old, f"{name}/normalised", nodes, constants)
    copy.graph.input.append(helper.make_tensor_value_info(name, TensorProto.UINT8, [BATCH, height, width, 3]))
    return checked(copy)


def take_waveform(model: ModelProto, *, source: str, samples: int, name: str = "waveform") -> ModelProto:
    """Replace `source` by `name`: float32 [batch, samples], brought to zero mean and unit variance inside the graph.

    The same arithmetic as the feature extractor of Wav2Vec2, so the answer does not depend on loudness.
    """
    copy = copy_of(model)
    old = end_of(copy.graph.input, source)
    constants: dict[str, NDArray] = {f"{name}/floor": np.asarray(_VARIANCE_FLOOR, np.float32)}
    version = opset(copy)
    nodes = [
        _mean(name, f"{name}/mean", version),
        helper.make_node("Sub", [name, f"{name}/mean"], [f"{name}/centred"]),
        helper.make_node("Mul", [f"{name}/centred", f"{name}/centred"], [f"{name}/squared"]),
        _mean(f"{name}/squared", f"{name}/variance", version),
        helper.make_node("Add", [f"{name}/variance", f"{name}/floor"], [f"{name}/floored"]),
        helper.make_node("Sqrt", [f"{name}/floored"], [f"{name}/deviation"]),
        helper.make_node("Div", [f"{name}/centred", f"{name}/deviation"], [f"{name}/normalised"]),
    ]
    if version >= _AXES_AS_INPUT_OPSET:
        constants["axes/last"] = np.asarray([-1], np.int64)
    prepend(copy, old, f"{name}/normalised", nodes, constants)
    copy.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, samples]))
    return checked(copy)


def give_p_fake(model: ModelProto, logits: Logits, *, source: str, name: str = "p_fake") -> ModelProto:
    """Replace the output `source` (logits) by `name`: float32 probabilities that the medium is synthetic.

    With "softmax", [batch, labels] becomes [batch, 1]; with "sigmoid" the shape stays.

    Raises:
        GraphError: The temperature is not positive, or there is no label of index `fake`.
    """
    if logits.temperature <= 0:
        raise GraphError("the temperature must be positive")
    copy = copy_of(model)
    opset(copy)
    old = end_of(copy.graph.output, source)
    constants: dict[str, NDArray] = {f"{name}/temperature": np.asarray(logits.temperature, np.float32)}
    nodes = [helper.make_node("Div", [source, f"{name}/temperature"], [f"{name}/tempered"])]
    shape = shape_of(old)
    fake = (logits.fake,) if isinstance(logits.fake, int) else logits.fake
    if logits.activation == "softmax":
        labels = shape[-1]
        if not isinstance(labels, int) or not all(0 <= index < labels for index in fake):
            message = f"there is no label {', '.join(map(str, fake))} among {labels}"
            raise GraphError(message)
        constants[f"{name}/fake"] = np.asarray(fake, np.int64)
        chosen = f"{name}/chosen" if len(fake) > 1 else name
        nodes.append(helper.make_node("Softmax", [f"{name}/tempered"], [f"{name}/all"], axis=-1))
        nodes.append(helper.make_node("Gather", [f"{name}/all", f"{name}/fake"], [chosen], axis=-1))
        if len(fake) > 1:
            constants[f"{name}/axis"] = np.asarray([-1], np.int64)
            nodes.append(helper.make_node("ReduceSum", [chosen, f"{name}/axis"], [name], keepdims=1))
        shape = [*shape[:-1], 1]
    elif fake == (1,):
        nodes.append(helper.make_node("Sigmoid", [f"{name}/tempered"], [name]))
    else:
        nodes.append(helper.make_node("Neg", [f"{name}/tempered"], [f"{name}/negated"]))
        nodes.append(helper.make_node("Sigmoid", [f"{name}/negated"], [name]))
    position = list(copy.graph.output).index(old)
    copy.graph.output.remove(old)
    copy.graph.output.insert(position, helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    copy.graph.node.extend(nodes)
    add_constants(copy, constants)
    return checked(copy)


def _mean(source: str, target: str, version: int) -> onnx.NodeProto:
    if version >= _AXES_AS_INPUT_OPSET:
        return helper.make_node("ReduceMean", [source, "axes/last"], [target], keepdims=1)
    return helper.make_node("ReduceMean", [source], [target], axes=[-1], keepdims=1)


def _picture_size(end: ValueInfoProto, layout: str) -> tuple[int, int]:
    shape = shape_of(end)
    size = (shape[1:3] if layout == "NHWC" else shape[2:4]) if len(shape) == 4 else []  # noqa: PLR2004  (axes of a batch of pictures)
    match size:
        case [int(height), int(width)]:
            return height, width
        case _:
            message = f"{end.name} {shape} is not a batch of {layout} pictures of fixed size"
            raise GraphError(message)
