"""Loads a classifier of transformers from a folder: safetensors only, every weight in its place, no code of others."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil
import torch
import transformers
from safetensors import SafetensorError, safe_open

from scripts.models.errors import ModelsError, RefusedError
from scripts.models.importing.sources import Source, read_json
from scripts.models.importing.wishes import Wishes

FRAMEWORK: Final = f"transformers {transformers.__version__}, torch {torch.__version__}"
"""What the card's parity names as the framework of the original."""
LARGEST_BYTES: Final = 2_000_000_000
"""An ONNX file is one protocol buffer, which cannot be larger than 2 GiB."""
MEMORY_FACTOR: Final = 8
"""Converting holds the weights several times: torch's, the exporter's, the graph's, its bytes and a session's."""

_SHARDS: Final = "model.safetensors.index.json"
_WEIGHTS: Final = "model.safetensors"
_PICKLES: Final = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def load_classifier(auto_class: Any, source: Source, wishes: Wishes, **options: Any) -> torch.nn.Module:
    """Load a source with a class such as `AutoModelForImageClassification`, on the CPU, in float32, in evaluation mode.

    `options` go to `from_pretrained`.

    Raises:
        RefusedError: There are no safetensors, they are damaged, or they are not those of the architecture.
        ModelsError: There is not enough memory.
    """
    folder = source.path
    pickled = _look_at_weights(folder, wishes)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    wishes.tell(f"loading {source.architecture}")
    try:
        model, report = auto_class.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=not pickled,
            weights_only=True,
            output_loading_info=True,
            dtype=torch.float32,
            **options,
        )
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise MemoryError from error
    except Exception as error:  # transformers lets through whatever a damaged file makes its parts raise.
        if "allocate memory" in str(error):
            raise MemoryError from error
        raise RefusedError(
            f"transformers cannot load {folder.name} as {source.architecture}: {_first_line(error)} "
            "Fetch the folder again, or save it anew with `save_pretrained`."
        ) from error
    _complete(report, source)
    return model.eval()


def _look_at_weights(folder: Path, wishes: Wishes) -> bool:
    """Look at the files of a folder before anything opens them, and say whether only a pickle is there."""
    files = _safetensors(folder)
    if not files:
        if not any((folder / name).is_file() for name in _PICKLES):
            raise RefusedError(f"{folder.name} has no {_WEIGHTS}: it holds no weights. Fetch the whole folder.")
        if not wishes.trust_pickle:
            raise RefusedError(
                f"{folder.name} has its weights only in a format of Python's pickle, which can run code when it is "
                "opened. Save it anew with `save_pretrained`, which writes safetensors, or add --trust-pickle if you "
                "trust whoever made it."
            )
        _enough(sum(file.stat().st_size for file in folder.glob("pytorch_model*.bin")), folder)
        return True
    _enough(sum(map(_check_file, files)), folder)
    return False


def _safetensors(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if not (folder / _SHARDS).is_file():
        return []
    shards: Any = read_json(folder / _SHARDS).get("weight_map")
    if not isinstance(shards, dict):
        raise RefusedError(f"{_SHARDS} of {folder.name} names no files of weights. Fetch it again.")
    names: set[str] = set(map(str, shards.values()))
    if missing := sorted(name for name in names if Path(name).name != name or not (folder / name).is_file()):
        raise RefusedError(f"{folder.name} lacks {', '.join(missing)}: it holds only a part of the weights. Fetch it.")
    return [folder / name for name in sorted(names)]


def _check_file(file: Path) -> int:
    """Bytes of the weights in a safetensors file as float32, whose header says where each lies."""
    try:
        with safe_open(file, framework="np") as opened:
            if not opened.keys():
                raise RefusedError(f"{file.name} of {file.parent.name} is empty: it holds no weights.")
        with file.open("rb") as raw:
            (length,) = struct.unpack("<Q", raw.read(8))
            header: Mapping[str, Any] = json.loads(raw.read(length))
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        raise RefusedError(
            f"{file.name} of {file.parent.name} is damaged ({_first_line(error)}) Fetch it again."
        ) from error
    return 4 * sum(_count(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def _count(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _enough(size: int, folder: Path) -> None:
    if size > LARGEST_BYTES:
        raise RefusedError(
            f"{folder.name} has {size / 1e9:.1f} GB of weights in float32; an ONNX file cannot hold more than "
            f"{LARGEST_BYTES / 1e9:.0f} GB. Bring a smaller model of the family."
        )
    available = psutil.virtual_memory().available
    if MEMORY_FACTOR * size > available:
        raise ModelsError(
            f"Converting {folder.name} takes about {MEMORY_FACTOR * size / 1e9:.1f} GB of memory, and only "
            f"{available / 1e9:.1f} GB are free. End other programs, or import it on a machine with more."
        )


def _complete(report: Mapping[str, Any], source: Source) -> None:
    """Refuse a model of which parts were not in the file, because those would be random numbers."""
    missing: list[str] = sorted(map(str, report.get("missing_keys") or ()))
    mismatched: list[str] = sorted(str(each[0]) for each in report.get("mismatched_keys") or ())
    if wrong := [*missing, *mismatched]:
        shown = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")  # noqa: PLR2004  (fit a line)
        raise RefusedError(
            f"The weights are not those of a {source.architecture}: {shown} are not in the file, and would be random "
            "numbers. Bring the model after it was trained as a classifier, not the one that it started from."
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:") + "."
