"""Takes Keras networks of video apart, so that the frames of different clips can share a batch.

A classifier of frames is cut off at the features that a head takes; a network of whole clips is divided into a frame
encoder and a head.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import keras
from keras import layers

from scripts.models.errors import RefusedError
from scripts.models.importing.keras_legacy import objects
from scripts.models.importing.wishes import Wishes

_UNTRAINED: Final = (layers.Dropout, layers.SpatialDropout2D, layers.GaussianNoise, layers.ActivityRegularization)
"""Layers that pass everything on as it is where nothing is trained."""
_ELEMENTWISE: Final = (
    layers.Rescaling,
    layers.Normalization,
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.Dropout,
    layers.GaussianNoise,
)
"""Layers that treat every frame of a clip alike without a TimeDistributed round them."""
_ROW: Final = 2
_ROWS_OVER_TIME: Final = 3
_SHOWN: Final = 8


@dataclass(frozen=True, kw_only=True)
class _Step:
    """A layer of a network of clips, and the shapes that go into it and come out, the batch first."""

    layer: keras.layers.Layer
    before: tuple[Any, ...]
    after: tuple[Any, ...]


def encoder_for(network: keras.Model, features: int, wishes: Wishes) -> tuple[keras.Model, str]:
    """The part of a frame's network that gives `features` values, and a sentence on where it was cut.

    Raises:
        RefusedError: No layer gives so many values, or several do and the command line does not say which.
    """
    pixels, given = _layer_outputs(network)
    rows = {name: each for name, each in given.items() if each.shape[1:] == (features,)}
    if wishes.layer is not None:
        if wishes.layer not in rows:
            raise RefusedError(
                f"The encoder has no layer {wishes.layer} that gives the {features} values a frame that the head "
                f"takes; there are {_in_words(given)}. Give --layer one of those names."
            )
        return keras.Model(pixels, rows[wishes.layer]), f"Features are those of {wishes.layer} (as asked)."
    if tuple(network.outputs[0].shape[1:]) == (features,) and len(network.outputs) == 1:
        return network, "Features are what the encoder's file gives."
    found = [layer.name for layer in network.layers if layer.name in rows and not isinstance(layer, _UNTRAINED)]
    match found:
        case [name]:
            return keras.Model(pixels, rows[name]), f"Features are those of the encoder's layer {name}."
        case []:
            raise RefusedError(
                f"The head takes {features} values a frame, and no layer of the encoder gives so many; there are "
                f"{_in_words(given)}. The two do not belong together; bring the head's own encoder."
            )
        case _:
            raise RefusedError(
                f"Several layers of the encoder give the {features} values a frame that the head takes: "
                f"{', '.join(found)}. Say whose it was trained on, as in --layer {found[-1]}."
            )


def split_clip_network(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """A network of frames and one of their features that together do what a network of clips does.

    Raises:
        RefusedError: It cannot be divided, because frames are mixed before there is one row of features of each.
    """
    chain = _chain(network)
    if chain is None:
        raise RefusedError(
            "The network of clips has branches, so it cannot be divided into a frame encoder and a head, and frames of "
            "a whole clip are not served in one piece. Save encoder and head as two files, and bring those."
        )
    steps = _steps(network, chain)
    last = max((at for at, step in enumerate(steps) if _makes_rows(step, steps[:at])), default=None)
    if last is None:
        culprit = next((step.layer for step in steps if not _per_frame(step)), network)
        raise RefusedError(
            f"{culprit.name} ({type(culprit).__name__}) looks at several frames before there is one row of features of "
            "each, so the network cannot be divided into a frame encoder and a head. Such a network is not served yet."
        )
    frame = keras.Input(steps[0].before[2:])
    values: Any = frame
    for step in steps[: last + 1]:
        values = _for_one_frame(step)(values)
    rows = keras.Input(steps[last].after[1:])
    judged: Any = rows
    for step in steps[last + 1 :]:
        judged = step.layer(judged)
    return keras.Model(frame, values), keras.Model(rows, judged)


def _layer_outputs(network: keras.Model) -> tuple[Any, dict[str, Any]]:
    """What every layer gives inside this network, by name, where that is one tensor, and the input it follows from.

    A layer that is a model has a graph of its own too, so its `output` would be that of another network.
    """
    given: dict[str, Any] = {}

    def call(layer: keras.layers.Layer, *values: Any, **options: Any) -> Any:
        answer: Any = layer(*values, **options)
        if isinstance(answer, keras.KerasTensor):
            given[layer.name] = answer
        return answer

    copy = keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)
    return copy.inputs[0], given


def _in_words(given: Mapping[str, Any]) -> str:
    widths = [f"{name} with {each.shape[1]}" for name, each in given.items() if len(each.shape) == _ROW]
    return ", ".join(widths[-_SHOWN:]) or "none that gives one row of values"


def _chain(network: keras.Model) -> list[keras.layers.Layer] | None:
    """The layers one after the other, those of models inside too; None where one feeds or takes more than one."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        return None
    if not isinstance(network, keras.Sequential) and not _in_a_row(network):
        return None
    chain: list[keras.layers.Layer] = []
    for layer in network.layers:
        inner = _chain(layer) if isinstance(layer, keras.Model) else [layer]
        if inner is None:
            return None
        chain += [each for each in inner if not isinstance(each, layers.InputLayer)]
    return chain


def _in_a_row(network: keras.Model) -> bool:
    """Whether each layer of a functional network takes what the one before it gives, and nothing else."""
    config: Any = network.get_config()
    return all(_sources(entry) == [before["name"]] for before, entry in pairwise(config["layers"]))


def _sources(entry: Any) -> list[str]:
    """Names of the layers that a layer's calls take their tensors from."""
    return [
        tensor["config"]["keras_history"][0]
        for tensor in objects(entry.get("inbound_nodes"))
        if tensor["class_name"] == "__keras_tensor__"
    ]


def _steps(network: keras.Model, chain: Sequence[keras.layers.Layer]) -> list[_Step]:
    shape: Any = tuple(network.inputs[0].shape)
    steps: list[_Step] = []
    for layer in chain:
        after = tuple(layer.compute_output_shape(shape))
        steps.append(_Step(layer=layer, before=shape, after=after))
        shape = after
    return steps


def _per_frame(step: _Step) -> bool:
    layer = step.layer
    if isinstance(layer, (layers.BatchNormalization, layers.LayerNormalization)):
        return layer.axis in (-1, len(step.before) - 1, [-1], [len(step.before) - 1])
    if isinstance(layer, layers.Reshape):
        return step.after[1] == step.before[1] is not None
    return isinstance(layer, (layers.TimeDistributed, *_ELEMENTWISE))


def _makes_rows(step: _Step, before: Sequence[_Step]) -> bool:
    """Whether a layer gives one row of features a frame, and nothing up to it mixes frames."""
    makes = isinstance(step.layer, (layers.TimeDistributed, layers.Reshape)) and len(step.after) == _ROWS_OVER_TIME
    return makes and all(_per_frame(each) for each in (*before, step))


def _for_one_frame(step: _Step) -> keras.layers.Layer:
    """A layer that does to a frame what the step does to each frame of a clip."""
    layer = step.layer
    if isinstance(layer, layers.TimeDistributed):
        return layer.layer
    if isinstance(layer, layers.Reshape):
        return layers.Reshape(step.after[2:])
    config = layer.get_config()
    if isinstance(layer, (layers.BatchNormalization, layers.LayerNormalization)):
        config["axis"] = -1
    copy = type(layer).from_config(config)
    copy.build((None, *step.before[2:]))
    copy.set_weights(layer.get_weights())
    return copy
