"""Puts the contract of a video head into a graph that judges a sequence of frame features.

The contract's `mask` says which of the T steps hold a frame. A head that was not made for that sees its frames evenly
repeated, in their order, until there are T of them: what sampling T frames of a clip that has fewer gives.
"""

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from scripts.models.graph_parts import (
    BATCH,
    GraphError,
    add_constants,
    checked,
    copy_of,
    end_of,
    prepend,
    rename,
    shape_of,
)

FEATURES: Final = "features"
MASK: Final = "mask"

Missing = Literal["mask", "fill", "repeat"]
"""How a head learns of steps without a frame: by an input of its own, by a value that its features are filled with
(which a Masking layer looks for), or not at all, so that the frames are repeated instead."""

_BACK: Final = "mask/back"
_CLIP_AND_LABELS: Final = 2


def take_sequence(
    model: ModelProto, missing: Missing, *, steps: str, frames: int, seen: str | None = None, fill: float = 0.0
) -> ModelProto:
    """Replace the input `steps`, float32 [batch, T, D] (and `seen`, [batch, T]), by `features` and `mask`.

    `mask` is float32 [batch, frames], 1 where there is a frame; `fill` stands in steps without one, so that what came
    in them changes nothing.

    Raises:
        GraphError: `steps` is no sequence of `frames` steps and a fixed number of features.
    """
    copy = copy_of(model)
    old = end_of(copy.graph.input, steps)
    features = _features(old, frames)
    constants: dict[str, NDArray] = {
        f"{MASK}/half": np.asarray(0.5, np.float32),
        f"{MASK}/last": np.asarray([-1], np.int64),
        f"{FEATURES}/fill": np.asarray(fill, np.float32),
    }
    nodes = [
        helper.make_node("Greater", [MASK, f"{MASK}/half"], [f"{MASK}/seen"]),
        helper.make_node("Unsqueeze", [f"{MASK}/seen", f"{MASK}/last"], [f"{MASK}/seen_column"]),
        helper.make_node("Where", [f"{MASK}/seen_column", FEATURES, f"{FEATURES}/fill"], [f"{FEATURES}/filled"]),
    ]
    result = f"{FEATURES}/filled"
    if missing == "repeat":
        added, constants_added = _repeating(frames)
        nodes += added
        constants |= constants_added
        result = f"{FEATURES}/repeated"
    if seen is not None:
        end = end_of(copy.graph.input, seen)
        kind = end.type.tensor_type.elem_type
        nodes.append(helper.make_node("Cast", [f"{MASK}/seen"], [f"{MASK}/as_wanted"], to=kind))
        rename(copy, {seen: f"{MASK}/as_wanted"})
        copy.graph.input.remove(end)
    prepend(copy, old, result, nodes, constants)
    copy.graph.input.extend(
        [
            helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, [BATCH, frames, features]),
            helper.make_tensor_value_info(MASK, TensorProto.FLOAT, [BATCH, frames]),
        ]
    )
    return checked(copy)


def one_logit(model: ModelProto, *, source: str, fake: int) -> ModelProto:
    """Turn the logits `source`, [batch, …, K], into one, [batch, …, 1], that grows with how fake the clip looks.

    With K = 1, `fake` is 1 where a high value means fake already. With K = 2 it is the fake one's index, and the
    difference of the two is what the sigmoid must see to equal the soft-max.

    Raises:
        GraphError: There are other than one or two values.
    """
    copy = copy_of(model)
    end = end_of(copy.graph.output, source)
    shape = shape_of(end)
    weights = {(1, 0): [[-1]], (1, 1): [[1]], (2, 0): [[1], [-1]], (2, 1): [[-1], [1]]}.get((_count(shape), fake))
    if weights is None:
        raise GraphError(f"{source} {shape} holds neither one value nor one for each of real and fake")
    matrix = np.asarray(weights, np.float32)
    _replace(
        copy,
        end,
        [helper.make_node("MatMul", [f"{source}/labels", f"{source}/difference"], [source])],
        constants={f"{source}/difference": matrix},
        before=f"{source}/labels",
        shape=[*shape[:-1], 1],
    )
    return checked(copy)


def clip_and_frames(model: ModelProto, *, source: str, frames: int, clip: str, frame: str) -> ModelProto:
    """Replace the logits `source` of every step, [batch, T, 1], by that of the clip, [batch, 1], and of the frames.

    The clip's is the last step's, which has seen all others. After `take_sequence` has repeated frames, a frame's
    logit, in [batch, T], is that of the last step that showed it.
    """
    copy = copy_of(model)
    end = end_of(copy.graph.output, source)
    copy.graph.output.remove(end)
    nodes = [helper.make_node("Gather", [source, f"{clip}/step"], [clip], axis=1)]
    constants: dict[str, NDArray] = {
        f"{clip}/step": np.asarray(frames - 1, np.int64),
        f"{frame}/shape": np.asarray([-1, frames], np.int64),
    }
    column = source
    if any(_BACK in node.output for node in copy.graph.node):
        nodes.append(helper.make_node("MatMul", [_BACK, source], [f"{frame}/column"]))
        column = f"{frame}/column"
    nodes.append(helper.make_node("Reshape", [column, f"{frame}/shape"], [frame]))
    copy.graph.node.extend(nodes)
    add_constants(copy, constants)
    copy.graph.output.extend(
        [
            helper.make_tensor_value_info(clip, TensorProto.FLOAT, [BATCH, 1]),
            helper.make_tensor_value_info(frame, TensorProto.FLOAT, [BATCH, frames]),
        ]
    )
    return checked(copy)


def frames_in_order(model: ModelProto, *, source: str, frames: int) -> ModelProto:
    """Give the logits `source` of the steps, [batch, T, 1], the shape [batch, T], and the order of the frames.

    That is another order only after `take_sequence` has repeated frames; then as in `clip_and_frames`.
    """
    copy = copy_of(model)
    end = end_of(copy.graph.output, source)
    nodes: list[NodeProto] = []
    column = f"{source}/column"
    if any(_BACK in node.output for node in copy.graph.node):
        nodes.append(helper.make_node("MatMul", [_BACK, column], [f"{source}/in_order"]))
        column = f"{source}/in_order"
    nodes.append(helper.make_node("Reshape", [column, f"{source}/frames"], [source]))
    shape = {f"{source}/frames": np.asarray([-1, frames], np.int64)}
    _replace(copy, end, nodes, constants=shape, before=f"{source}/column", shape=[BATCH, frames])
    return checked(copy)


def as_column(model: ModelProto, *, source: str, frames: int) -> ModelProto:
    """Give the output `source` of the steps the shape [batch, T, 1] where it is [batch, T]."""
    copy = copy_of(model)
    end = end_of(copy.graph.output, source)
    if len(shape_of(end)) > _CLIP_AND_LABELS:
        return copy
    _replace(
        copy,
        end,
        [helper.make_node("Reshape", [f"{source}/row", f"{source}/as_column"], [source])],
        constants={f"{source}/as_column": np.asarray([-1, frames, 1], np.int64)},
        before=f"{source}/row",
        shape=[BATCH, frames, 1],
    )
    return checked(copy)


def _repeating(frames: int) -> tuple[list[NodeProto], dict[str, NDArray]]:
    """Nodes that repeat n frames evenly over T steps: step t shows frame number floor(t · n / T) of those there are.

    `mask/back`, [batch, T, T], has a 1 where a column is the last step that shows a row's frame.
    """
    steps = np.arange(frames, dtype=np.float32)[None]
    constants: dict[str, NDArray] = {
        f"{MASK}/axis": np.asarray(1, np.int64),
        f"{MASK}/axes": np.asarray([1], np.int64),
        f"{MASK}/one": np.asarray(1, np.float32),
        f"{MASK}/steps": steps,
        f"{MASK}/steps_after": steps + 1,
        f"{MASK}/frames": np.asarray(frames, np.float32),
    }

    def of_mask(operator: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
        return helper.make_node(operator, [f"{MASK}/{name}" for name in inputs], [f"{MASK}/{output}"], **attributes)

    nodes = [
        of_mask("Cast", ["seen"], "counted", to=TensorProto.FLOAT),
        of_mask("CumSum", ["counted", "axis"], "number_from_1"),
        of_mask("Sub", ["number_from_1", "one"], "number"),
        of_mask("ReduceSum", ["counted", "axes"], "total", keepdims=1),
        *(
            node
            for when in ("", "_after")
            for node in (
                of_mask("Mul", [f"steps{when}", "total"], f"scaled{when}"),
                of_mask("Div", [f"scaled{when}", "frames"], f"share{when}"),
                of_mask("Floor", [f"share{when}"], f"shown{when}"),
            )
        ),
        of_mask("Unsqueeze", ["shown", "last"], "shown_column"),
        of_mask("Unsqueeze", ["number", "axes"], "number_row"),
        of_mask("Unsqueeze", ["seen", "axes"], "seen_row"),
        of_mask("Equal", ["shown_column", "number_row"], "same"),
        of_mask("And", ["same", "seen_row"], "picked"),
        of_mask("Cast", ["picked"], "pick", to=TensorProto.FLOAT),
        helper.make_node("MatMul", [f"{MASK}/pick", f"{FEATURES}/filled"], [f"{FEATURES}/repeated"]),
        of_mask("Greater", ["shown_after", "shown"], "ends"),
        of_mask("Unsqueeze", ["ends", "last"], "ends_column"),
        of_mask("And", ["picked", "ends_column"], "picked_last"),
        of_mask("Cast", ["picked_last"], "pick_last", to=TensorProto.FLOAT),
        helper.make_node("Transpose", [f"{MASK}/pick_last"], [_BACK], perm=[0, 2, 1]),
    ]
    return nodes, constants


def _features(end: ValueInfoProto, frames: int) -> int:
    match shape_of(end):
        case [_, int(steps), int(features)] if steps == frames:
            return features
        case [_, str(), int(features)]:
            return features
        case shape:
            raise GraphError(f"{end.name} {shape} is not a batch of sequences of {frames} steps")


def _count(shape: list[int | str]) -> int:
    return shape[-1] if shape and isinstance(shape[-1], int) else 0


def _replace(
    model: ModelProto,
    end: ValueInfoProto,
    nodes: list[NodeProto],
    *,
    constants: dict[str, NDArray],
    before: str,
    shape: list[int | str],
) -> None:
    """Compute an output anew from what it was, now called `before`, in place and at the same position."""
    name = end.name
    position = list(model.graph.output).index(end)
    model.graph.output.remove(end)
    rename(model, {name: before})
    model.graph.output.insert(position, helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    model.graph.node.extend(nodes)
    add_constants(model, constants)
