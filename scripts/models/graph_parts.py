"""What the functions that change an ONNX graph share: its ends, their names and shapes, and new nodes in front."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, numpy_helper

BATCH: Final = "batch"
"""Name of the one dynamic dimension, the first of every input and output."""

_MINIMUM_OPSET: Final = 13


class GraphError(ValueError):
    """The exported graph cannot be brought into the contract."""


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


def copy_of(model: ModelProto) -> ModelProto:
    """Copy of a graph, so that what is handed in stays as it is."""
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def checked(model: ModelProto) -> ModelProto:
    """The graph itself, once its operators, types and shapes were found to fit together."""
    onnx.checker.check_model(model, full_check=True)
    return model


def real_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """Inputs that a caller has to give: older exporters list the weights among the inputs too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [end for end in model.graph.input if end.name not in weights]


def end_of(ends: Sequence[ValueInfoProto], name: str) -> ValueInfoProto:
    """The input or output of that name. Raises `GraphError` where there is none."""
    for end in ends:
        if end.name == name:
            return end
    message = f"the graph has no {name} among {[end.name for end in ends]}"
    raise GraphError(message)


def shape_of(end: ValueInfoProto) -> list[int | str]:
    """Sizes of an input or output; a free one is its name, or the empty string."""
    return [dim.dim_value or dim.dim_param for dim in end.type.tensor_type.shape.dim]


def rename(model: ModelProto, names: Mapping[str, str]) -> None:
    """Call values by other names, in place, wherever they are used."""
    for node in _nodes(model.graph):
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for end in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        end.name = names.get(end.name, end.name)


def drop_notes(model: ModelProto) -> None:
    """Remove, in place, what an exporter has noted of the parts of a graph: stack traces, with paths of its machine.

    What is said of the model as a whole, such as who made it, stays.
    """
    graph = model.graph
    for part in (graph, *_nodes(graph), *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


def prepend(
    model: ModelProto,
    old: ValueInfoProto,
    replacement: str,
    nodes: Sequence[NodeProto],
    constants: Mapping[str, NDArray],
) -> None:
    """Put `nodes` before all others, in place; `replacement`, which they compute, stands for the input `old`."""
    rename(model, {old.name: replacement})
    model.graph.input.remove(old)
    behind = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *behind])
    add_constants(model, constants)


def add_constants(model: ModelProto, constants: Mapping[str, NDArray]) -> None:
    """Add values to the graph by name, in place."""
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """All nodes, also those of the bodies of loops and branches, which may use the values of the graph around them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)
