"""Opens a Keras file, `.keras` or HDF5, without running code that came with it.

What such a file says of its network is read as JSON first: what would need foreign code is refused in words, and what
Keras 2 wrote otherwise than Keras 3 reads it is put right in a copy.
"""

import contextlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import h5py
import keras
from numpy.typing import NDArray
from onnx import ModelProto

from scripts.models.errors import ModelsError, RefusedError
from scripts.models.export import export_keras
from scripts.models.graph import GraphError
from scripts.models.importing.keras_legacy import modernise, objects

_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_CONFIG: Final = "config.json"
_WEIGHTS: Final = "model.weights.h5"
_ABOUT: Final = "metadata.json"
_MODEL_CONFIG: Final = "model_config"
_MOST_CONFIG_BYTES: Final = 64 * 2**20
_TOLD: Final = 300
"""Characters of Keras's own message that are passed on."""

_CODE: Final = frozenset({"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})
_OPERATIONS: Final = frozenset({"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod"})


def load_keras(path: Path) -> keras.Model:
    """Return the network of a file with its weights, ready to be asked.

    Raises:
        RefusedError: It is damaged, holds weights only, or needs code of its own.
        ModelsError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_HDF5))
    except OSError as error:
        raise ModelsError(f"{path} cannot be read: {error.strerror}.") from error
    with tempfile.TemporaryDirectory(prefix="bonafide-keras-") as folder:
        # Keras goes by the name's ending, and files of either kind are found under both.
        if start == _HDF5:
            copy = Path(folder) / "model.h5"
            _copy_hdf5(path, copy)
        elif zipfile.is_zipfile(path):
            copy = Path(folder) / "model.keras"
            _look_into_zip(path)
            copy.symlink_to(path.resolve())
        else:
            raise RefusedError(
                f"{path.name} is neither a .keras archive nor an HDF5 file, or is damaged; fetch it again."
            )
        return _load(path, copy)


def without_augmentation(model: keras.Model) -> keras.Model:
    """The network without the layers that change its pictures at random, which only training does."""
    if not any(_is_random(layer) for layer in _all_layers(model)):
        return model

    def rebuild(layer: keras.layers.Layer) -> keras.layers.Layer:
        if _is_random(layer):
            return keras.layers.Identity(name=layer.name)
        return type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=rebuild, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def to_onnx(
    model: keras.Model, examples: Sequence[NDArray], *, inputs: Sequence[str], outputs: Sequence[str]
) -> ModelProto:
    """Export as `export_keras` does. Raises `RefusedError` where ONNX has no words for what the network does."""
    try:
        return export_keras(model, examples, inputs=inputs, outputs=outputs)
    except (MemoryError, GraphError):
        raise
    except Exception as error:
        # The exporter and the checker raise whatever stands in their way.
        raise RefusedError(
            f"The network cannot be written as ONNX: {_first_lines(error)} Put another layer in the place of the one "
            "that is named, train that, and bring it."
        ) from error


def _is_random(layer: keras.layers.Layer) -> bool:
    return type(layer).__name__.startswith("Random") and type(layer).__name__ != "RandomCrop"


def _all_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)


def framework() -> str:
    """Name and version of what the original runs in, for a card."""
    return f"Keras {keras.__version__} on {keras.backend.backend()}"


def _load(path: Path, copy: Path) -> keras.Model:
    try:
        model: Any = keras.saving.load_model(copy, compile=False, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:
        # Keras raises whatever it was doing when it met something that it does not know.
        raise RefusedError(
            f"Keras {keras.__version__} cannot open {path.name}: {_first_lines(error)} Save the whole model with the "
            "newest Keras, `model.save('model.keras')`, or export it to ONNX where it was trained, and bring that."
        ) from error
    try:
        built = bool(model.inputs) and bool(model.outputs)
    except (AttributeError, ValueError):
        built = False
    if not built:
        raise RefusedError(
            f"{path.name} does not say what its network takes. Call the model once on a batch (or begin it with "
            "keras.Input), save it again, and bring that."
        )
    # A Sequential shows its operations only as a functional model, and one end is no list of one for Keras.
    ends: list[Any] = [each[0] if len(each) == 1 else each for each in (model.inputs, model.outputs)]
    return keras.Model(*ends, name=model.name)


def _copy_hdf5(path: Path, copy: Path) -> None:
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get(_MODEL_CONFIG)
    except OSError as error:
        raise RefusedError(f"{path.name} is damaged: {error}. Fetch it again.") from error
    if text is None:
        raise RefusedError(_weights_only(path))
    config = _parse(path, text)
    _check(path, config)
    try:
        shutil.copyfile(path, copy)
        modernise(config)
        with h5py.File(copy, "r+") as file:
            file.attrs[_MODEL_CONFIG] = json.dumps(config)
    except OSError as error:
        raise ModelsError(f"{path.name} could not be copied to {copy.parent}: {error}.") from error


def _look_into_zip(path: Path) -> None:
    with _reading(path), zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if _CONFIG not in names or _WEIGHTS not in names:
            raise RefusedError(
                f"{path.name} is an archive, but not one of Keras: it lacks {_CONFIG} or {_WEIGHTS}. Save the whole "
                "model with `model.save('model.keras')` and bring that."
            )
        if archive.getinfo(_CONFIG).file_size > _MOST_CONFIG_BYTES:
            raise RefusedError(f"{path.name} needs over {_MOST_CONFIG_BYTES >> 20} MiB to describe a network; refused.")
        if damaged := archive.testzip():
            raise RefusedError(f"{path.name} is damaged in {damaged}; fetch it again.")
        config = _parse(path, archive.read(_CONFIG))
        about = _parse(path, archive.read(_ABOUT)) if _ABOUT in names else {}
    _check(path, config)
    if isinstance(about, dict) and str(about.get("keras_version")).startswith("2."):
        raise RefusedError(
            f"{path.name} was written by Keras 2, whose .keras archives Keras 3 cannot read. Where it was made, save "
            "it as `model.save('model.h5')`, or export it to ONNX, and bring that."
        )


@contextlib.contextmanager
def _reading(path: Path) -> Generator[None]:
    try:
        yield
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise RefusedError(f"{path.name} is damaged or not readable: {error}. Fetch it again.") from error


def _parse(path: Path, text: bytes | str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{path.name} describes no network: {error}. Fetch it again.") from error


def _check(path: Path, config: Any) -> None:
    """Refuse what would need code that is not Keras's own."""
    for each in objects(config):
        name, module = str(each["class_name"]), str(each.get("module") or "")
        if name in _CODE:
            raise RefusedError(
                f"{path.name} holds a {name} layer, which is Python code inside the file. Such code is never run here. "
                "Write the layer with those of Keras (Rescaling instead of a Lambda that divides) and save the model "
                "again, or export it to ONNX where you trust it."
            )
        if name in _OPERATIONS:
            operation = _operation(each)
            raise RefusedError(
                f"{path.name} holds an operation of TensorFlow between its layers ({operation}), as Keras 2 saved "
                "them; Keras 3 cannot read those. Write it as a layer (Rescaling, for preprocess_input) and save the "
                "model again, or export it to ONNX where it was trained."
            )
        registered = str(each.get("registered_name") or "")
        if ">" in registered or (module and not module.startswith(("keras", "tf_keras", "tensorflow", "builtins"))):
            raise RefusedError(
                f"{path.name} needs a class of its own, {registered or f'{module}.{name}'}, which does not come with "
                "it and would be foreign code. Write the model with layers of Keras only, or export it to ONNX."
            )


def _operation(entry: dict[str, Any]) -> str:
    config = entry.get("config")
    return str(config.get("function", entry["class_name"])) if isinstance(config, dict) else str(entry["class_name"])


def _weights_only(path: Path) -> str:
    return (
        f"{path.name} holds weights only and does not say which network they belong to (save_weights was used). Build "
        "the model, load the weights into it, save the whole with `model.save('model.keras')`, and bring that."
    )


def _first_lines(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _TOLD else f"{text[:_TOLD]}…"
