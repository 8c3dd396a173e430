"""Takes out of an exported graph what cannot matter, so that it is less work and a runtime sees what is left.

torch writes attention down with a mask that lets everything through and a guard against rows that see nothing. Both
cost a pass over all scores, and hide the product, the scale and the softmax from the runtime's own fusions.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from scripts.models.graph_parts import copy_of, real_inputs

_BATCHES: Final = (1, 2, 3)
"""Sizes of a batch at which a mask must be nothing but zeros to be taken for idle."""
_WHOLE: Final = 256
"""One more than the largest value of a byte."""


class Wiring:
    """Who makes which value of a graph, and who takes it."""

    def __init__(self, model: ModelProto) -> None:
        self.makers = {name: node for node in model.graph.node for name in node.output if name}
        self.takers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self.takers.setdefault(name, []).append(node)
        self.inputs = {end.name for end in real_inputs(model)}
        self.outputs = {end.name for end in model.graph.output}

    def only_taker(self, name: str) -> NodeProto | None:
        """Return the node that takes a value, where there is just one and the value is no output of the graph."""
        takers = self.takers.get(name, [])
        return takers[0] if len(takers) == 1 and name not in self.outputs else None

    def hangs_on_shapes_alone(self, name: str) -> bool:
        """Tell whether a value is the same whatever is in the inputs, and depends on their shapes at most."""
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current in self.inputs:
                return False
            maker = self.makers.get(current)
            if current in seen or maker is None or maker.op_type == "Shape":
                continue
            seen.add(current)
            waiting.extend(filter(None, maker.input))
        return True


def drop_idle_masks(model: ModelProto) -> ModelProto:
    """Return a copy without masks that add nothing to the scores of attention, and without guards behind its softmax.

    A mask is dropped where it hangs on the size of the batch alone and is zero at several sizes. A guard gives zeros
    for a row without a single entry, which there is none of once nothing is masked.
    """
    copy = copy_of(model)
    wiring = Wiring(copy)
    sums = {
        add.output[0]: (add.input[1 - place], add.input[place])
        for node in copy.graph.node
        if node.op_type == "Softmax" and (add := wiring.makers.get(node.input[0])) is not None and add.op_type == "Add"
        for place in (0, 1)
        if wiring.hangs_on_shapes_alone(add.input[place])
    }
    idle = _zeros(copy, {mask for _, mask in sums.values()})
    instead = {total: scores for total, (scores, mask) in sums.items() if mask in idle}
    for node in copy.graph.node:
        if node.op_type == "Softmax" and node.input[0] in instead:
            instead |= _without_guard(wiring, node)
    for node in copy.graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
    prune(copy)
    return copy


def prune(model: ModelProto) -> None:
    """Remove, in place, the nodes and weights that no output needs, and what was said of values inside.

    The nodes that stay are brought into an order in which each comes after what it takes.
    """
    makers = {name: node for node in model.graph.node for name in node.output if name}
    kept: list[NodeProto] = []
    done: set[int] = set()
    wanted = {end.name for end in model.graph.output}
    waiting = [makers[name] for name in sorted(wanted & makers.keys(), reverse=True)]
    while waiting:
        node = waiting[-1]
        taken = _taken(node)
        before = [makers[name] for name in taken if name in makers and id(makers[name]) not in done]
        if id(node) in done or not before:
            waiting.pop()
            if id(node) not in done:
                done.add(id(node))
                kept.append(node)
                wanted.update(taken)
        else:
            waiting.extend(before)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    weights = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    # Exporters note sizes under names that later passes move, and a stale note is worse than none.
    del model.graph.value_info[:]


def _taken(node: NodeProto) -> list[str]:
    """Return what a node takes, also inside the bodies of its loops and branches."""
    taken = [name for name in node.input if name]
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            taken += [name for inner in body.node for name in _taken(inner)]
    return taken


def look_inside(model: ModelProto, inputs: Mapping[str, NDArray[Any]], names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Run the graph for values inside it; of `inputs`, [n, …] by name, those count that they hang on."""
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    wanted = set(names)
    made = sorted(wanted - known.keys())
    values: list[Any] = []
    if made:
        session = open_inside(model, made)
        taken = {end.name for end in session.get_inputs()}
        values = list(session.run(made, {name: value for name, value in inputs.items() if name in taken}))
    weights = {name: numpy_helper.to_array(known[name]) for name in wanted & known.keys()}
    return {**weights, **dict(zip(made, values, strict=True))}


def open_inside(model: ModelProto, names: Iterable[str]) -> onnxruntime.InferenceSession:
    """Return a session of the graph whose outputs are these values inside it."""
    copy = copy_of(model)
    del copy.graph.output[:]
    copy.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    prune(copy)
    options = onnxruntime.SessionOptions()
    # Optimising takes longer than the few runs that follow.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])


def random_inputs(model: ModelProto, *, rows: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Make `rows` random rows for each input of a graph: bytes over their whole range, else a normal variate."""
    generator = np.random.default_rng(seed)
    inputs: dict[str, NDArray[Any]] = {}
    for end in real_inputs(model):
        shape = (rows, *(dim.dim_value for dim in end.type.tensor_type.shape.dim[1:]))
        dtype = helper.tensor_dtype_to_np_dtype(end.type.tensor_type.elem_type)
        if dtype == np.uint8:
            inputs[end.name] = generator.integers(0, _WHOLE, shape, dtype=np.uint8)
        else:
            inputs[end.name] = generator.normal(size=shape).astype(dtype)
    return inputs


def _zeros(model: ModelProto, masks: set[str]) -> set[str]:
    """Return those of the masks that are nothing but zeros, at every size of a batch that is tried."""
    idle = set(masks)
    for rows in _BATCHES:
        if idle:
            seen = look_inside(model, random_inputs(model, rows=rows), idle)
            idle = {name for name in idle if not np.any(seen[name])}
    return idle


def _without_guard(wiring: Wiring, softmax: NodeProto) -> dict[str, str]:
    """Return what to take instead of a guarded softmax: the softmax; nothing where it is not guarded like that."""
    probabilities = softmax.output[0]
    takers = wiring.takers.get(probabilities, [])
    guards = [node for node in takers if node.op_type == "Where" and node.input[2] == probabilities]
    tests = [node for node in takers if node.op_type == "IsNaN"]
    if len(takers) != len(guards) + len(tests):
        return {}
    tested = {name for test in tests for name in test.output}
    return {guard.output[0]: probabilities for guard in guards if guard.input[0] in tested}
