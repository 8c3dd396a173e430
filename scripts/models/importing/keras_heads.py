"""Reads the head of a video model, a Keras network over the features of frames, and brings it into the contract.

Where the last recurrent layer gives its state after every step, as it can in most heads, what stands behind that layer
judges each of these states: the score after frame t is what the head makes of the frames up to t, and the last one is
its score of the clip. Where that is not possible the graph has no scores of frames.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from onnx import ModelProto

from scripts.models.errors import RefusedError
from scripts.models.graph import Logits, give_p_fake
from scripts.models.graph_parts import end_of, shape_of
from scripts.models.graph_scores import Scores, flatten_scores, scores_of, to_logits
from scripts.models.graph_sequences import (
    Missing,
    as_column,
    clip_and_frames,
    frames_in_order,
    one_logit,
    take_sequence,
)
from scripts.models.importing.keras_loading import to_onnx
from scripts.models.importing.labels import Reading
from scripts.models.importing.outputs import read_output
from scripts.models.importing.wishes import Wishes

_STEPS: Final = "steps"
_SEEN: Final = "seen"
_CLIP: Final = "clip_scores"
_FRAME: Final = "frame_scores"
_MOST_LABELS: Final = 2
_SEQUENCE: Final = 3
"""Axes of features over time."""
_STEPWISE: Final = (
    layers.Dense,
    layers.Dropout,
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.Softmax,
    layers.GaussianNoise,
)
"""Layers that do the same to every step of a sequence as they do to a single one."""
_NOTES: Final[dict[Missing, str]] = {
    "mask": "Steps without a frame are told to the head by its mask.",
    "fill": "Steps without a frame are filled with the value that the head's Masking layer skips.",
    "repeat": "The head knows no missing frames: where there are fewer, they are repeated evenly to make up for them.",
}


@dataclass(frozen=True, kw_only=True)
class Head:
    """A network over `frames` steps of `features` values; `missing` is how it learns of steps without a frame.

    `masked_first` says that its mask is the first of its two inputs; `fill` is what a Masking layer looks for.
    """

    network: keras.Model
    frames: int
    features: int
    missing: Missing
    masked_first: bool = False
    fill: float = 0.0


@dataclass(frozen=True, kw_only=True)
class HeadGraph:
    """A head in the contract, how its answers are read, and what a person should know of it."""

    graph: ModelProto
    scores: Scores
    reading: Reading
    scores_frames: bool
    notes: tuple[str, ...]


def read_head(network: keras.Model, wishes: Wishes) -> Head:
    """Say what a head takes. Raises `RefusedError` where its length is open and not on the command line."""
    shapes: list[Any] = [tuple(each.shape[1:]) for each in network.inputs]
    masked_first = len(shapes) > 1 and len(shapes[0]) == 1
    frames, features = shapes[-1] if masked_first else shapes[0]
    if features is None:
        raise RefusedError(
            "The head takes features of any width. Build it with keras.Input of a fixed one, and save it."
        )
    if frames is None and wishes.frames is None:
        raise RefusedError(
            "The head takes any number of frames. Say how many it was trained with, as in --frames 16; so many are "
            "sampled of each video."
        )
    if frames is not None and wishes.frames not in {None, frames}:
        raise RefusedError(f"The head takes {frames} frames; leave --frames out.")
    masking = [layer for layer in network.layers if isinstance(layer, layers.Masking)]
    missing: Missing = "mask" if len(shapes) > 1 else ("fill" if masking else "repeat")
    return Head(
        network=network,
        frames=frames or wishes.frames or 0,
        features=features,
        missing=missing,
        masked_first=masked_first,
        fill=float(masking[0].mask_value) if masking else 0.0,
    )


def ask_head(head: Head, features: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray:
    """What the original answers of clips, [n, K], for `features`, [n, T, D]; `mask`, [n, T], is 1 where a frame is."""
    seen = mask > 0.5  # noqa: PLR2004  (as the contract has it)
    match head.missing:
        case "mask":
            kind = head.network.inputs[0 if head.masked_first else 1].dtype
            given: Any = [np.where(seen[..., None], features, 0).astype(np.float32), seen.astype(kind)]
            given = given[::-1] if head.masked_first else given
        case "fill":
            given = np.where(seen[..., None], features, head.fill).astype(np.float32)
        case "repeat":
            given = np.stack([_repeated(steps, present) for steps, present in zip(features, seen, strict=True)])
    answers = head.network(given, training=False)
    if isinstance(answers, (list, tuple)):
        answers = answers[_clip_of(head)]
    return np.asarray(answers)


def head_in_contract(head: Head, wishes: Wishes, *, beside: Path) -> HeadGraph:
    """Convert a head.

    Raises:
        RefusedError: It gives none of the outputs that can be read, or it is unclear how to read them.
    """
    stepwise = _stepwise(head)
    network = _of_fixed_length(stepwise or head.network, head)
    inputs = [_SEEN, _STEPS] if head.masked_first else [_STEPS, _SEEN][: len(network.inputs)]
    graph = to_onnx(network, _examples(network, head), inputs=inputs, outputs=_outputs(head, stepwise))
    shape = shape_of(end_of(graph.graph.output, _CLIP))
    count = shape[-1] if isinstance(shape[-1], int) else 0
    if not 1 <= count <= _MOST_LABELS:
        raise RefusedError(
            f"The head gives {count} values a clip. Known are one sigmoid and a soft-max over real and fake."
        )
    scores, reading = read_output(graph, _CLIP, wishes, beside=beside, count=count)
    graph = _one_logit(graph, _CLIP, scores, reading)
    own_frames = len(network.outputs) > 1
    if own_frames:
        graph = _one_logit(as_column(graph, source=_FRAME, frames=head.frames), _FRAME, None, reading)
    seen = _SEEN if head.missing == "mask" else None
    graph = take_sequence(graph, head.missing, steps=_STEPS, frames=head.frames, seen=seen, fill=head.fill)
    if stepwise is not None:
        graph = clip_and_frames(graph, source=_CLIP, frames=head.frames, clip="clip_logit", frame="frame_logit")
        graph = _p_fake(_p_fake(graph, "clip_logit", "p_fake"), "frame_logit", "frame_p_fake")
    else:
        graph = _p_fake(flatten_scores(graph, source=_CLIP, count=1), _CLIP, "p_fake")
        if own_frames:
            graph = _p_fake(frames_in_order(graph, source=_FRAME, frames=head.frames), _FRAME, "frame_p_fake")
    return HeadGraph(
        graph=graph,
        scores=scores,
        reading=reading,
        scores_frames=own_frames or stepwise is not None,
        notes=(reading.note, _NOTES[head.missing], _frames_note(own=own_frames, stepwise=stepwise is not None)),
    )


def _stepwise(head: Head) -> keras.Model | None:
    """The same head with its answer after every step, [n, T, K]; None where its layers do not allow that."""
    network = head.network
    if len(network.outputs) != 1:
        return None
    order = [layer for layer in network.layers if not isinstance(layer, layers.InputLayer)]
    recurrent = [at for at, layer in enumerate(order) if isinstance(layer, layers.RNN)]
    if not recurrent:
        return None
    last = order[recurrent[-1]]
    behind = order[recurrent[-1] + 1 :]
    if last.return_sequences or last.go_backwards or last.stateful or not all(map(_is_stepwise, behind)):
        return None

    def rebuild(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer is last:
            config["return_sequences"] = True
        return type(layer).from_config(config)

    copy = keras.models.clone_model(network, clone_function=rebuild)
    copy.set_weights(network.get_weights())
    return copy


def _is_stepwise(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, (layers.BatchNormalization, layers.LayerNormalization)):
        # Its input had two axes, so that the second was the last too.
        return layer.axis in (-1, 1, [1], [-1])
    return type(layer) in _STEPWISE


def _of_fixed_length(network: keras.Model, head: Head) -> keras.Model:
    if all(None not in each.shape[1:] for each in network.inputs):
        return network
    ends = [
        keras.Input((head.frames, head.features) if len(each.shape) == _SEQUENCE else (head.frames,), dtype=each.dtype)
        for each in network.inputs
    ]
    given: Any = ends if len(ends) > 1 else ends[0]
    return keras.Model(given, network(given))


def _examples(network: keras.Model, head: Head) -> list[NDArray]:
    shapes = [
        (2, head.frames, head.features) if len(each.shape) == _SEQUENCE else (2, head.frames) for each in network.inputs
    ]
    return [np.ones(shape, each.dtype) for shape, each in zip(shapes, network.inputs, strict=True)]


def _outputs(head: Head, stepwise: keras.Model | None) -> list[str]:
    if stepwise is not None or len(head.network.outputs) == 1:
        return [_CLIP]
    return [_CLIP, _FRAME] if _clip_of(head) == 0 else [_FRAME, _CLIP]


def _clip_of(head: Head) -> int:
    """Number of the output that judges the clip, of two. Raises `RefusedError` where they are not clip and frames."""
    shapes = [tuple(each.shape[1:]) for each in head.network.outputs]
    steps = head.network.inputs[-1 if head.masked_first else 0].shape[1]
    are_frames = [shape in {(steps,), (steps, 1), (steps, 2)} for shape in shapes]
    if len(shapes) != 2 or sum(are_frames) != 1:  # noqa: PLR2004  (one for the clip, one for its frames)
        raise RefusedError(
            f"The head gives {[list(shape) for shape in shapes]}. Known are one output for the clip, and a second one "
            "for its frames; bring a head with those only."
        )
    return are_frames.index(False)


def _one_logit(graph: ModelProto, output: str, scores: Scores | None, reading: Reading) -> ModelProto:
    held = scores or scores_of(graph, output) or "logits"
    return one_logit(to_logits(graph, held, source=output), source=output, fake=reading.fake[0])


def _p_fake(graph: ModelProto, source: str, name: str) -> ModelProto:
    return give_p_fake(graph, Logits(activation="sigmoid", fake=1), source=source, name=name)


def _repeated(steps: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    """As many steps, [T, D], that show the present ones evenly and in their order."""
    frames = steps[present]
    return frames[[step * len(frames) // len(steps) for step in range(len(steps))]]


def _frames_note(*, own: bool, stepwise: bool) -> str:
    if own:
        return "The head scores each frame itself."
    if stepwise:
        return "The score of a frame is what the head makes of the clip up to that frame."
    return "The head judges clips as a whole, so its answers have no scores of single frames."
