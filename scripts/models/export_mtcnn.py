"""Writes the three nets of the `mtcnn` package as the ONNX files in `bentos/weights/`, which `bentos.faces` runs.

The graphs are rebuilt from the package's weights rather than traced, because ONNX Runtime is two to three times faster
on these forms than on the literal ones: normalisation sits in the first kernel, a PReLU before a pooling works on the
pooled quarter of the data, other PReLUs are sums of products (its own PRelu kernel is scalar), and the two-way softmax
is a sigmoid. Results equal the package's up to rounding. Usage: `python -m scripts.models.export_mtcnn [FOLDER]`.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.floating[Any]]

TARGET: Final = Path(__file__).parents[2] / "bentos" / "weights"
OPSET: Final = 17
BLOCK: Final = 16
IR_VERSION: Final = 9  # The oldest that fits the opset, so that any runtime of these years can read it.
DOC: Final = "From the mtcnn package 1.0.0 (MIT licence). Input RGB 0..255; offsets are shares of the box's sides."


class Graph:
    """Collects nodes and weights under names of their own."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        output = name or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def weight(self, values: Array) -> str:
        """Keep a constant and return its name."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), name))
        return name

    def conv(self, value: str, kernel: Array, bias: Array | None = None) -> str:
        """Convolution without padding; kernel [out, in, h, w]."""
        weights = [self.weight(kernel)] if bias is None else [self.weight(kernel), self.weight(bias)]
        return self.add("Conv", value, *weights)

    def pool(self, value: str, size: int, *, same: bool) -> str:
        """Maximum over size x size with stride 2; `same` pads as Keras does."""
        padding = "SAME_UPPER" if same else "VALID"
        return self.add("MaxPool", value, kernel_shape=[size, size], strides=[2, 2], auto_pad=padding)

    def prelu(self, value: str, slope: Array) -> str:
        """Slope * x + (1 - slope) * max(x, 0), per channel of [n, c, h, w]."""
        slope = slope.reshape(-1, 1, 1)
        linear = self.add("Mul", value, self.weight(slope))
        rectified = self.add("Mul", self.add("Relu", value), self.weight(1 - slope))
        return self.add("Add", linear, rectified)


def as_nchw(kernel: Array) -> Array:
    """Keras [h, w, in, out] → ONNX [out, in, h, w]."""
    return kernel.transpose(3, 2, 0, 1)


def fold_normalisation(kernel: Array, bias: Array) -> tuple[Array, Array]:
    """Let a convolution take raw pixels where it was trained on (pixel - 127.5) / 128."""
    return kernel / 128, bias - kernel.sum(axis=(1, 2, 3)) * 127.5 / 128


def first_block(graph: Graph, weights: list[Array], size: int) -> tuple[str, Array]:
    """Convolution, PReLU and pooling of the raw pixels, with the pooling moved before the PReLU.

    With P = maxpool(x) and Q = maxpool(-x): maxpool(prelu(x)) is prelu(P) where the slope a ≥ 0, and
    max(P, |a| Q) = |a| Q + relu(P - |a| Q) where a < 0. So the convolution also gives -x for the channels of negative
    slope, and after the pooling two 1 x 1 convolutions do the rest: A p + relu(L p). Where a > 1 the sum can only hold
    the negative of the wanted value; the returned sign per channel goes into the next kernel.
    """
    kernel, bias = fold_normalisation(as_nchw(weights[0]), weights[1])
    slope = weights[2].reshape(-1)
    channels, falling = len(slope), np.flatnonzero(slope < 0)
    pixels = graph.add("Transpose", graph.add("Cast", "crop", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    # Unused channels up to a multiple of the vector width keep the runtime in its blocked layout.
    unused = -(channels + len(falling)) % BLOCK
    kernel = np.concatenate([kernel, -kernel[falling], np.zeros((unused, *kernel.shape[1:]), np.float32)])
    bias = np.concatenate([bias, -bias[falling], np.zeros(unused, np.float32)])
    pooled = graph.pool(graph.conv(pixels, kernel, bias), size, same=True)

    sign = np.where(slope > 1, -1, 1).astype(np.float32)
    linear, rectified = np.zeros((2, channels, len(bias)), np.float32)
    for i in range(channels):
        if slope[i] >= 0:
            linear[i, i] = sign[i] * slope[i]
            rectified[i, i] = sign[i] * (1 - slope[i])
    for position, i in enumerate(falling):
        linear[i, channels + position] = -slope[i]
        rectified[i, i] = 1
        rectified[i, channels + position] = slope[i]
    straight = graph.conv(pooled, linear[:, :, None, None])
    bent = graph.add("Relu", graph.conv(pooled, rectified[:, :, None, None]))
    return graph.add("Add", straight, bent), sign


def heads(graph: Graph, value: str, *, axis: int, parts: list[int]) -> None:
    """Split the last layer's channels into offsets, the unused landmarks, and the logit of being a face."""
    names = ["offsets", "landmarks", "logit"] if len(parts) == 3 else ["offsets", "logit"]  # noqa: PLR2004
    sizes = numpy_helper.from_array(np.asarray(parts, np.int64), "parts")
    graph.weights.append(sizes)
    graph.nodes.append(helper.make_node("Split", [value, "parts"], names, axis=axis))
    flat = numpy_helper.from_array(np.asarray([axis], np.int64), "face_axis")
    graph.weights.append(flat)
    graph.add("Sigmoid", graph.add("Squeeze", "logit", "face_axis"), name="p_face")


def face_logit(values: Array) -> Array:
    """The softmax over (no face, face) is the sigmoid of the difference of the two."""
    return values[..., 1:] - values[..., :1]


def pnet(weights: list[Array]) -> onnx.ModelProto:
    """P-Net: `crop` uint8 [n, h, w, 3] → `offsets` [n, 4, rows, columns] and `p_face` [n, rows, columns]."""
    graph = Graph()
    value, sign = first_block(graph, weights[0:3], size=2)
    value = graph.conv(value, as_nchw(weights[3]) * sign[None, :, None, None], weights[4])
    value = graph.prelu(value, weights[5])
    value = graph.conv(value, as_nchw(weights[6]), weights[7])
    # The last PReLU dissolves into the two halves of the 1 x 1 head that follows it.
    head = np.concatenate([as_nchw(weights[9]), as_nchw(face_logit(weights[11]))])
    bias = np.concatenate([weights[10], face_logit(weights[12])])
    slope = weights[8].reshape(1, -1, 1, 1)
    straight = graph.conv(value, head * slope, bias)
    bent = graph.conv(graph.add("Relu", value), head * (1 - slope))
    heads(graph, graph.add("Add", straight, bent), axis=1, parts=[4, 1])
    return finish(graph, "pnet", ["n", "h", "w", 3], {"offsets": ["n", 4, "y", "x"], "p_face": ["n", "y", "x"]})


def dense_tail(graph: Graph, value: str, weights: list[Array], *, channels: int, side: int) -> tuple[str, list[Array]]:
    """The hidden dense layer, its rows permuted from the package's (w, h, c) order to that of NCHW."""
    kernel = weights[0].reshape(side, side, channels, -1).transpose(2, 1, 0, 3).reshape(channels * side * side, -1)
    flat = graph.add("Flatten", value)
    hidden = graph.add("Gemm", flat, graph.weight(kernel), graph.weight(weights[1]))
    return graph.add("PRelu", hidden, graph.weight(weights[2])), weights[3:]


def rnet(weights: list[Array]) -> onnx.ModelProto:
    """R-Net: `crop` uint8 [n, 24, 24, 3] → `offsets` [n, 4] and `p_face` [n]."""
    graph = Graph()
    value, sign = first_block(graph, weights[0:3], size=3)
    value = graph.conv(value, as_nchw(weights[3]) * sign[None, :, None, None], weights[4])
    value = graph.pool(graph.prelu(value, weights[5]), 3, same=False)
    value = graph.prelu(graph.conv(value, as_nchw(weights[6]), weights[7]), weights[8])
    value, head = dense_tail(graph, value, weights[9:], channels=64, side=3)
    kernel = np.concatenate([head[0], face_logit(head[2])], axis=1)
    bias = np.concatenate([head[1], face_logit(head[3])])
    heads(graph, graph.add("Gemm", value, graph.weight(kernel), graph.weight(bias)), axis=1, parts=[4, 1])
    return finish(graph, "rnet", ["n", 24, 24, 3], {"offsets": ["n", 4], "p_face": ["n"]})


def onet(weights: list[Array]) -> onnx.ModelProto:
    """O-Net: `crop` uint8 [n, 48, 48, 3] → `offsets` [n, 4], `landmarks` [n, 10] (five x, five y) and `p_face` [n]."""
    graph = Graph()
    value, sign = first_block(graph, weights[0:3], size=3)
    value = graph.conv(value, as_nchw(weights[3]) * sign[None, :, None, None], weights[4])
    value = graph.pool(graph.prelu(value, weights[5]), 3, same=False)
    value = graph.prelu(graph.conv(value, as_nchw(weights[6]), weights[7]), weights[8])
    value = graph.pool(value, 2, same=True)
    value = graph.prelu(graph.conv(value, as_nchw(weights[9]), weights[10]), weights[11])
    value, head = dense_tail(graph, value, weights[12:], channels=128, side=3)
    kernel = np.concatenate([head[0], head[2], face_logit(head[4])], axis=1)
    bias = np.concatenate([head[1], head[3], face_logit(head[5])])
    heads(graph, graph.add("Gemm", value, graph.weight(kernel), graph.weight(bias)), axis=1, parts=[4, 10, 1])
    return finish(graph, "onet", ["n", 48, 48, 3], {"offsets": ["n", 4], "landmarks": ["n", 10], "p_face": ["n"]})


def finish(graph: Graph, name: str, shape: list[int | str], outputs: dict[str, list[int | str]]) -> onnx.ModelProto:
    """Close the graph with its signature and let ONNX check it."""
    described = helper.make_graph(
        graph.nodes,
        name,
        [helper.make_tensor_value_info("crop", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, dims) for output, dims in outputs.items()],
        graph.weights,
        doc_string=DOC,
    )
    model = helper.make_model(described, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="bonafide")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def package_weights(name: str) -> list[Array]:
    """The package's arrays in Keras's order, read beside the package so that TensorFlow is not imported."""
    spec = importlib.util.find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The mtcnn package is not installed: pip install '.[train]'")
    arrays = joblib.load(Path(spec.submodule_search_locations[0]) / "assets" / "weights" / f"{name}.lz4")
    return [np.asarray(array, np.float32) for array in arrays]


def main(folder: Path) -> None:
    """Write pnet.onnx, rnet.onnx and onet.onnx into the folder."""
    for name, build in (("pnet", pnet), ("rnet", rnet), ("onet", onet)):
        path = folder / f"{name}.onnx"
        path.write_bytes(build(package_weights(name)).SerializeToString(deterministic=True))
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
