"""Opens an ONNX file with the data that lie beside it, and asks it in ONNX Runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto

from scripts.models.errors import ModelsError, RefusedError
from scripts.models.graph_parts import real_inputs, shape_of

OLDEST: Final = 13
"""Version of the operators that the nodes of the contract need; what is older is brought up to `_RAISED`."""
FRAMEWORK: Final = f"ONNX Runtime {onnxruntime.__version__}"

_RAISED: Final = 17
_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_MOST_BYTES: Final = 2**31 - 1
_TOLD: Final = 300


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """A graph with its weights, and a session that answers as the file itself does."""

    path: Path
    model: ModelProto
    session: onnxruntime.InferenceSession

    @property
    def inputs(self) -> list[ValueInfoProto]:
        """The inputs that a caller has to give."""
        return real_inputs(self.model)

    def ask(self, *given: NDArray) -> list[NDArray]:
        """Every output for a batch of each input; one by one where the file takes no more at once.

        Raises:
            RefusedError: ONNX Runtime cannot run it on such inputs.
        """
        names = [each.name for each in self.session.get_inputs()]
        alone = any(each.shape and each.shape[0] == 1 for each in self.session.get_inputs())
        size = 1 if alone else 8
        try:
            parts: list[Any] = [
                self.session.run(None, {name: each[at : at + size] for name, each in zip(names, given, strict=True)})
                for at in range(0, len(given[0]), size)
            ]
        except Exception as error:
            # The runtime's errors share no class.
            raise RefusedError(
                f"{self.path.name} cannot judge inputs of {[list(each.shape[1:]) for each in given]}: {told(error)} "
                "Say what it was trained on with --input-size, or export it with a fixed size."
            ) from error
        return [np.concatenate([np.atleast_1d(part[at]) for part in parts]) for at in range(len(parts[0]))]


def load_onnx(path: Path) -> OnnxFile:
    """Return the graph of a file. Its operators are brought up to date where they are too old for the contract.

    Raises:
        RefusedError: It is damaged, lacks data, is too large, or needs operators that are not known here.
        ModelsError: It cannot be read.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ModelsError(f"{path} cannot be read: {error.strerror}.") from error
    except (DecodeError, ValueError) as error:
        raise RefusedError(f"{path.name} is no ONNX file, or is damaged. Fetch it again.") from error
    if not model.graph.node:
        raise RefusedError(f"{path.name} holds no operators; it is no ONNX file, or is damaged. Fetch it again.")
    _load_weights(path, model)
    if unknown := sorted({node.domain for node in model.graph.node} - _DOMAINS):
        raise RefusedError(
            f"{path.name} needs operators of {', '.join(unknown)}, which are none of ONNX. Export it without them."
        )
    session = _open(path, model)
    return OnnxFile(path=path, model=_up_to_date(path, model), session=session)


def in_words(ends: Sequence[ValueInfoProto]) -> str:
    """Names, types and shapes of inputs or outputs, for a sentence."""
    return ", ".join(
        f"{end.name} {TensorProto.DataType.Name(end.type.tensor_type.elem_type).lower()} {shape_of(end)}"
        for end in ends
    )


def told(error: BaseException) -> str:
    """What an error of a library says, on one line and not too long, with a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if len(text) <= _TOLD else f"{text[:_TOLD]}…").rstrip(".") + "."


def _load_weights(path: Path, model: ModelProto) -> None:
    """Take the weights in that lie in files beside the graph. Raises `RefusedError` where one is not there."""
    size = path.stat().st_size
    for location in sorted({_location(tensor) for tensor in model.graph.initializer} - {""}):
        place = PurePosixPath(location)
        if place.is_absolute() or ".." in place.parts or "\\" in location:
            raise RefusedError(
                f"{path.name} wants weights from {location}, outside of its own folder. Do not trust it."
            )
        file = path.parent / place
        if not file.is_file():
            raise RefusedError(f"{path.name} keeps its weights in {location}, which is not beside it. Fetch that too.")
        size += file.stat().st_size
    if size > _MOST_BYTES:
        raise RefusedError(
            f"{path.name} has {size / 2**30:.1f} GiB of weights; a graph may have 2. Export a smaller one."
        )
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise RefusedError(f"The weights beside {path.name} cannot be read: {told(error)} Fetch them again.") from error


def _location(tensor: TensorProto) -> str:
    entries: Mapping[str, str] = {each.key: each.value for each in tensor.external_data}
    return entries.get("location", "") if tensor.data_location == TensorProto.EXTERNAL else ""


def _open(path: Path, model: ModelProto) -> onnxruntime.InferenceSession:
    try:
        onnx.checker.check_model(model)
        return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:
        # The checker's and the runtime's errors share no class.
        raise RefusedError(
            f"{path.name} cannot be run by ONNX Runtime {onnxruntime.__version__}: {told(error)} Export it again with "
            f"an opset from {OLDEST} to {_newest()}."
        ) from error


def _up_to_date(path: Path, model: ModelProto) -> ModelProto:
    version = max((each.version for each in model.opset_import if each.domain in {"", "ai.onnx"}), default=0)
    if version >= OLDEST:
        return model
    try:
        return onnx.version_converter.convert_version(model, _RAISED)
    except Exception as error:
        # The converter raises what it was doing.
        raise RefusedError(
            f"{path.name} is of opset {version}, and cannot be brought up to {_RAISED}: {told(error)} Export it again "
            f"with an opset from {OLDEST} to {_newest()}."
        ) from error


def _newest() -> int:
    return onnx.defs.onnx_opset_version() - 1
