"""Brings what Keras 2 wrote about a network to what Keras 3 reads, as far as the two mean the same.

Most HDF5 files in circulation are of Keras 2, and Keras 3 stumbles over how they write depth-wise convolutions, LSTM
layers, masks and models inside models. All of that is a matter of words in the configuration; the weights are the same.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

Entry = dict[str, Any]

_MODELS: Final = {"Functional": "Model", "Model": "Model", "Sequential": "Sequential"}
_WRAPPERS: Final = frozenset({"TimeDistributed", "Bidirectional"})
_NO_TIME_MAJOR: Final[Entry] = {"time_major": False}
_DROPPED: Final[dict[str, Entry]] = {
    "DepthwiseConv2D": {"groups": 1},
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN"), _NO_TIME_MAJOR),
}
"""Arguments that Keras 2 wrote at their only sensible value and Keras 3 does not know any more."""


def objects(config: Any) -> Iterator[Entry]:
    """Everything in a configuration that names a class, at any depth."""
    waiting = [config]
    while waiting:
        match waiting.pop():
            case dict() as entry:
                if "class_name" in entry:
                    yield entry
                waiting.extend(entry.values())
            case list() | tuple() as entries:
                waiting.extend(entries)
            case _:
                pass


def modernise(config: Any) -> None:
    """Put right in place what Keras 2 wrote otherwise than Keras 3 reads it."""
    for each in objects(config):
        if not isinstance(each.get("config"), dict):
            continue
        _modernise_arguments(str(each["class_name"]), each["config"])
        if each["class_name"] in _WRAPPERS:
            _modernise_wrapper(each["config"])
        if each["class_name"] in _MODELS:
            _modernise_model(each)


def _modernise_arguments(name: str, arguments: Entry) -> None:
    for argument, value in _DROPPED.get(name, {}).items():
        if arguments.get(argument) == value:
            del arguments[argument]
    axis = arguments.get("axis")
    if name == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        arguments["axis"] = axis[0]


def _modernise_wrapper(arguments: Entry) -> None:
    # The input layer in front of the wrapper says the same.
    arguments.pop("batch_input_shape", None)
    for inner in (arguments.get("layer"), arguments.get("backward_layer")):
        if isinstance(inner, dict) and not inner.get("module"):
            inner["module"] = "keras" if inner.get("class_name") in _MODELS else "keras.layers"


def _modernise_model(entry: Entry) -> None:
    if entry.get("module"):
        entry |= {"module": "keras", "class_name": _MODELS[entry["class_name"]], "registered_name": None}
    arguments = entry["config"]
    for end in ("input_layers", "output_layers"):
        # A model inside a model is read as one of several outputs where its only one is in a list of its own.
        if isinstance(arguments.get(end), list) and len(arguments[end]) == 1:
            [arguments[end]] = arguments[end]
    layers = arguments.get("layers")
    if isinstance(layers, list):
        _modernise_calls(layers)


def _modernise_calls(layers: Sequence[Entry]) -> None:
    # Keras 2 counted a model's own graph as the first call of it where it is a layer of another.
    models = {layer.get("name") for layer in layers if layer.get("class_name") in _MODELS}
    for nodes in (layer.get("inbound_nodes") or [] for layer in layers):
        for at, node in enumerate(nodes):
            for history in node if isinstance(node, list) else ():
                if history[0] in models and history[1] > 0:
                    history[1] -= 1
            if (call := _call_of(node)) is not None:
                nodes[at] = call


def _call_of(node: Any) -> Entry | None:
    """What Keras 3 writes for a call that Keras 2 gave a mask by keyword; None for any other.

    A tensor is the name of a layer, the number of its call and that of its output.
    """
    match node:
        case [[str(), int(), int(), {"mask": [str(), int(), int()] as mask, **others}]] if not others:
            return {"args": [_tensor(node[0][:3])], "kwargs": {"mask": _tensor(mask)}}
        case _:
            return None


def _tensor(history: Sequence[Any]) -> Entry:
    config = {"shape": [None], "dtype": "float32", "keras_history": list(history)}
    return {"class_name": "__keras_tensor__", "config": config}
