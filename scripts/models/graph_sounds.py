"""Puts what a feature extractor of transformers does to one clip of sound into an exported graph, for a whole batch.

A Bento sends windows of a fixed length and fills a clip that ends before with zeros. The originals take a clip at its
own length, so these functions find where the sound ends, measure it up to there, and leave silence out of it: a short
clip gets the answer that its original gives to it. Zeros that end a longer sound are left out likewise.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from scripts.models.graph_parts import BATCH, GraphError, checked, copy_of, end_of, opset, prepend

WAVEFORM: Final = "waveform"
"""Name of the input; the nodes and values that are added before the model are called `waveform/…`."""
SHORTEST: Final = 1600
"""Samples that a sound has at least, a tenth of a second: what is shorter, or silent, counts as this long."""

_OPSET: Final = 18
_VARIANCE_FLOOR: Final = 1e-7


class Front:
    """The nodes that are put before a model, gathered one by one. `last` is the value that the last of them gives."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, NDArray] = {}
        self.last: str = WAVEFORM

    def constant(self, name: str, value: NDArray) -> str:
        """Name of a constant in the graph; there is one of each name."""
        self.constants[f"{WAVEFORM}/{name}"] = value
        return f"{WAVEFORM}/{name}"

    def number(self, name: str, value: float) -> str:
        """Name of a float32 scalar in the graph."""
        return self.constant(name, np.asarray(value, np.float32))

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node and return the name of what it gives."""
        self.last = f"{WAVEFORM}/{output}"
        self.nodes.append(helper.make_node(operator, inputs, [self.last], name=self.last, **attributes))
        return self.last

    def length(self, samples: int) -> str:
        """Add what finds the number of samples up to the last that is not zero: float32 [batch, 1]."""
        zero = self.number("zero", 0)
        # Whole numbers as float32 are exact far beyond the longest window.
        counts = self.constant("counts", np.arange(1, samples + 1, dtype=np.float32))
        heard = self.add("Not", [self.add("Equal", [WAVEFORM, zero], "is_zero")], "is_heard")
        places = self.add("Where", [heard, counts, zero], "places")
        end = self.add("ReduceMax", [places, self.constant("time_axis", np.asarray([-1], np.int64))], "end", keepdims=1)
        return self.add("Max", [end, self.number("shortest", min(SHORTEST, samples))], "length")

    def put_before(self, model: ModelProto, *, source: str, samples: int) -> ModelProto:
        """Copy of `model` that takes `waveform`, float32 [batch, samples], and gives `last` to its input `source`."""
        if opset(model) < _OPSET:
            raise GraphError(f"the graph needs opset {_OPSET} or newer, it has {opset(model)}")
        copy = copy_of(model)
        prepend(copy, end_of(copy.graph.input, source), self.last, self.nodes, self.constants)
        copy.graph.input.append(helper.make_tensor_value_info(WAVEFORM, TensorProto.FLOAT, [BATCH, samples]))
        return checked(copy)


def take_clip(model: ModelProto, *, source: str, samples: int) -> ModelProto:
    """Replace `source` by `waveform`, float32 [batch, samples], each sound brought to zero mean and unit variance.

    As `zero_mean_unit_var_norm` of transformers' Wav2Vec2 feature extractor does it to a clip of its own length. What
    comes after the end of the sound stays zero, and no sample of the sound becomes zero but by chance.

    Raises:
        GraphError: The graph has no input `source`, or is of an opset before 18.
    """
    front = Front()
    axis = front.constant("time_axis", np.asarray([-1], np.int64))
    length = front.length(samples)
    places = front.constant("places_from_0", np.arange(samples, dtype=np.float32))
    inside = front.add("Cast", [front.add("Less", [places, length], "is_inside")], "inside", to=TensorProto.FLOAT)
    # After the end there are zeros only, so the sum over the window is that of the sound.
    mean = front.add("Div", [front.add("ReduceSum", [WAVEFORM, axis], "sum", keepdims=1), length], "mean")
    centred = front.add("Mul", [front.add("Sub", [WAVEFORM, mean], "moved"), inside], "centred")
    squared = front.add("Mul", [centred, centred], "squared")
    variance = front.add("Div", [front.add("ReduceSum", [squared, axis], "energy", keepdims=1), length], "variance")
    floored = front.add("Add", [variance, front.number("floor", _VARIANCE_FLOOR)], "floored")
    front.add("Div", [centred, front.add("Sqrt", [floored], "deviation")], "normalised")
    return front.put_before(model, source=source, samples=samples)


def take_raw_clip(model: ModelProto, *, source: str, samples: int) -> ModelProto:
    """Replace `source` by `waveform`, float32 [batch, samples], which the model takes as it is.

    Raises:
        GraphError: The graph has no input `source`, or is of an opset before 18.
    """
    front = Front()
    front.add("Identity", [WAVEFORM], "values")
    return front.put_before(model, source=source, samples=samples)
