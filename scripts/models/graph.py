"""Puts the repository's contract into an exported ONNX graph.

An export of Keras or torch speaks the language of its framework: scaled floats in, logits out. The functions here
rename its ends and add the missing arithmetic as ONNX nodes, so that every version of a model takes raw media and
answers a calibrated `p_fake`, and no serving code has to know what is inside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

BATCH: Final = "batch"
"""Name of the one dynamic dimension, the first of every input and output."""

_MINIMUM_OPSET: Final = 13
_AXES_AS_INPUT_OPSET: Final = 18
_VARIANCE_FLOOR: Final = 1e-7


class GraphError(ValueError):
    """The exported graph cannot be brought into the contract."""


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

    With "softmax" there is one logit per label and `fake` is the index of the fake one; with "sigmoid" there is one
    logit in all, and `fake` is 1 where a high value means fake, 0 where it means real. `temperature` divides logits.
    """

    activation: Literal["softmax", "sigmoid"]
    fake: int
    temperature: float = 1.0


def opset(model: ModelProto) -> int:
    """Version of the standard operators that the graph uses.

    Raises:
        GraphError: It names none, or one older than the nodes added here need.
    """
    versions = [entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}]
    if not versions or versions[0] < _MINIMUM_OPSET:
        message = f"the graph needs opset {_MINIMUM_OPSET} or newer, it has {versions}"
        raise GraphError(message)
    return versions[0]


def rename_ends(model: ModelProto, *, inputs: Sequence[str], outputs: Sequence[str]) -> ModelProto:
    """Copy of `model` with its inputs and outputs renamed, in their order, and the first axis of each made dynamic.

    Raises:
        GraphError: The counts differ, or a new name is already used inside the graph.
    """
    copy = _copy(model)
    ends = [*_real_inputs(copy), *copy.graph.output]
    if len(_real_inputs(copy)) != len(inputs) or len(copy.graph.output) != len(outputs):
        message = f"the graph has {[end.name for end in ends]}, not {[*inputs, *outputs]}"
        raise GraphError(message)
    names = {end.name: new for end, new in zip(ends, [*inputs, *outputs], strict=True)}
    inside = {name for node in copy.graph.node for name in (*node.input, *node.output)} - names.keys()
    if taken := inside & set(names.values()):
        message = f"these names are already used inside the graph: {sorted(taken)}"
        raise GraphError(message)
    _rename(copy, names)
    for end in ends:
        end.type.tensor_type.shape.dim[0].dim_param = BATCH
    return _checked(copy)


def take_pixels(model: ModelProto, pixels: Pixels, *, source: str, name: str = "crop") -> ModelProto:
    """Replace the float input `source` by `name`: uint8 RGB [batch, H, W, 3], with `pixels` done inside the graph.

    Raises:
        GraphError: `source` is not an image input of fixed height and width.
    """
    copy = _copy(model)
    old = _end(copy.graph.input, source)
    height, width = _picture_size(old, pixels.layout)
    # One multiplication and one addition per channel, in the order of the channels that the model wants.
    factor = pixels.scale / np.asarray(pixels.std, np.float64)
    offset = -np.asarray(pixels.mean, np.float64) / np.asarray(pixels.std, np.float64)
    constants: dict[str, NDArray] = {
        f"{name}/factor": factor.astype(np.float32),
        f"{name}/offset": offset.astype(np.float32),
    }
    nodes = [helper.make_node("Cast", [name], [f"{name}/float"], to=TensorProto.FLOAT)]
    last = f"{name}/float"
    if pixels.channels == "BGR":
        constants[f"{name}/reversed"] = np.asarray([2, 1, 0], np.int64)
        nodes.append(helper.make_node("Gather", [last, f"{name}/reversed"], [f"{name}/channels"], axis=3))
        last = f"{name}/channels"
    nodes.append(helper.make_node("Mul", [last, f"{name}/factor"], [f"{name}/scaled"]))
    nodes.append(helper.make_node("Add", [f"{name}/scaled", f"{name}/offset"], [f"{name}/normalised"]))
    last = f"{name}/normalised"
    if pixels.layout == "NCHW":
        nodes.append(helper.make_node("Transpose", [last], [f"{name}/planes"], perm=[0, 3, 1, 2]))
        last = f"{name}/planes"
    _prepend(copy, old, last, nodes, constants)
    copy.graph.input.append(helper.make_tensor_value_info(name, TensorProto.UINT8, [BATCH, height, width, 3]))
    return _checked(copy)


def take_waveform(model: ModelProto, *, source: str, samples: int, name: str = "waveform") -> ModelProto:
    """Replace `source` by `name`: float32 [batch, samples], brought to zero mean and unit variance inside the graph.

    The same arithmetic as the feature extractor of Wav2Vec2, so the answer does not depend on loudness.
    """
    copy = _copy(model)
    old = _end(copy.graph.input, source)
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
    _prepend(copy, old, f"{name}/normalised", nodes, constants)
    copy.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, samples]))
    return _checked(copy)


def give_p_fake(model: ModelProto, logits: Logits, *, source: str, name: str = "p_fake") -> ModelProto:
    """Replace the output `source` (logits) by `name`: float32 probabilities that the medium is synthetic.

    With "softmax", [batch, labels] becomes [batch, 1]; with "sigmoid" the shape stays.

    Raises:
        GraphError: The temperature is not positive, or there is no label of index `fake`.
    """
    if logits.temperature <= 0:
        raise GraphError("the temperature must be positive")
    copy = _copy(model)
    opset(copy)
    old = _end(copy.graph.output, source)
    constants: dict[str, NDArray] = {f"{name}/temperature": np.asarray(logits.temperature, np.float32)}
    nodes = [helper.make_node("Div", [source, f"{name}/temperature"], [f"{name}/tempered"])]
    shape = _shape(old)
    if logits.activation == "softmax":
        labels = shape[-1]
        if not isinstance(labels, int) or not 0 <= logits.fake < labels:
            message = f"there is no label {logits.fake} among {labels}"
            raise GraphError(message)
        constants[f"{name}/fake"] = np.asarray([logits.fake], np.int64)
        nodes.append(helper.make_node("Softmax", [f"{name}/tempered"], [f"{name}/all"], axis=-1))
        nodes.append(helper.make_node("Gather", [f"{name}/all", f"{name}/fake"], [name], axis=-1))
        shape = [*shape[:-1], 1]
    elif logits.fake == 1:
        nodes.append(helper.make_node("Sigmoid", [f"{name}/tempered"], [name]))
    else:
        nodes.append(helper.make_node("Neg", [f"{name}/tempered"], [f"{name}/negated"]))
        nodes.append(helper.make_node("Sigmoid", [f"{name}/negated"], [name]))
    position = list(copy.graph.output).index(old)
    copy.graph.output.remove(old)
    copy.graph.output.insert(position, helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    copy.graph.node.extend(nodes)
    _add_constants(copy, constants)
    return _checked(copy)


def _mean(source: str, target: str, version: int) -> onnx.NodeProto:
    if version >= _AXES_AS_INPUT_OPSET:
        return helper.make_node("ReduceMean", [source, "axes/last"], [target], keepdims=1)
    return helper.make_node("ReduceMean", [source], [target], axes=[-1], keepdims=1)


def _copy(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def _checked(model: ModelProto) -> ModelProto:
    onnx.checker.check_model(model, full_check=True)
    return model


def _real_inputs(model: ModelProto) -> list[ValueInfoProto]:
    # Older exporters list the weights among the inputs too.
    weights = {tensor.name for tensor in model.graph.initializer}
    return [end for end in model.graph.input if end.name not in weights]


def _end(ends: Sequence[ValueInfoProto], name: str) -> ValueInfoProto:
    for end in ends:
        if end.name == name:
            return end
    message = f"the graph has no {name} among {[end.name for end in ends]}"
    raise GraphError(message)


def _shape(end: ValueInfoProto) -> list[int | str]:
    return [dim.dim_value or dim.dim_param for dim in end.type.tensor_type.shape.dim]


def _picture_size(end: ValueInfoProto, layout: str) -> tuple[int, int]:
    shape = _shape(end)
    size = (shape[1:3] if layout == "NHWC" else shape[2:4]) if len(shape) == 4 else []  # noqa: PLR2004  (axes of a batch of pictures)
    match size:
        case [int(height), int(width)]:
            return height, width
        case _:
            message = f"{end.name} {shape} is not a batch of {layout} pictures of fixed size"
            raise GraphError(message)


def _rename(model: ModelProto, names: Mapping[str, str]) -> None:
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for end in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        end.name = names.get(end.name, end.name)


def _prepend(
    model: ModelProto,
    old: ValueInfoProto,
    replacement: str,
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, NDArray],
) -> None:
    _rename(model, {old.name: replacement})
    model.graph.input.remove(old)
    behind = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *behind])
    _add_constants(model, constants)


def _add_constants(model: ModelProto, constants: Mapping[str, NDArray]) -> None:
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
