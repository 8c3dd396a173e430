"""Where a model comes from: a folder or hub repository of transformers, a Keras file, or an ONNX file."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from scripts.models.errors import ModelsError, RefusedError
from scripts.models.importing.training import load
from scripts.models.importing.wishes import Wishes

Kind = Literal["transformers", "keras", "onnx"]

CONFIG: Final = "config.json"
_SUFFIXES: Final[dict[str, Kind]] = {".h5": "keras", ".hdf5": "keras", ".keras": "keras", ".onnx": "onnx"}
_PICKLES: Final = frozenset({".bin", ".ckpt", ".joblib", ".p", ".pickle", ".pkl", ".pt", ".pth"})
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is brought: a folder (`transformers`) or one or two files, in the order in which they were given.

    `about` is what a card says of where it came from. `config` is the content of `config.json`, empty for files.
    """

    kind: Kind
    paths: tuple[Path, ...]
    about: str
    config: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def path(self) -> Path:
        """The folder, or the first file."""
        return self.paths[0]

    @property
    def architecture(self) -> str:
        """Class of the model as its configuration names it; empty where it names none."""
        names = self.config.get("architectures")
        return str(names[0]) if isinstance(names, list) and names else ""


def resolve(texts: Sequence[str], wishes: Wishes) -> Source:
    """Find what a command line names, and fetch it where it lies on a hub.

    Raises:
        RefusedError: It is none of the kinds that can be brought, or running code that came with it would be needed.
        ModelsError: It is not there, cannot be read, or the hub cannot be reached.
    """
    places = [Path(text).expanduser() for text in texts]
    match places:
        case [place] if place.is_dir():
            return _folder(place, about=f"Folder {place.resolve().name} in the format of transformers")
        case [place] if not place.exists() and _HUB_ID.fullmatch(texts[0]) and place.suffix not in _SUFFIXES:
            found = load("scripts.models.importing.hub").fetch(texts[0], wishes)
            return _folder(found.folder, about=f"{texts[0]} at {found.commit} on {found.hub}")
        case _:
            return _files(places)


def _files(places: list[Path]) -> Source:
    for place in places:
        if not place.exists():
            raise ModelsError(
                f"There is no {place}. Give a folder in the format of transformers, the id of a repository on the hub "
                "such as dima806/deepfake_vs_real_image_detection, or a .h5, .keras or .onnx file."
            )
        if place.suffix.lower() not in _SUFFIXES:
            raise RefusedError(_not_a_model(place))
    kinds: set[Kind] = {_SUFFIXES[place.suffix.lower()] for place in places}
    if len(kinds) > 1 or len(places) > 2:  # noqa: PLR2004  (a frame encoder and its head)
        raise RefusedError(
            "Several files are one model only where they are a frame encoder and its head: give those two, the encoder "
            "first, as in `bonafide models import encoder.h5 head.keras --as video_faces`."
        )
    return Source(kind=kinds.pop(), paths=tuple(places), about=f"File {', '.join(place.name for place in places)}")


def _folder(place: Path, *, about: str) -> Source:
    config = read_json(place / CONFIG)
    if config.get("auto_map"):
        raise RefusedError(
            f"{CONFIG} asks to run Python code that came with the model (auto_map). That is never done here; look for "
            "a version of the model in one of the classes of transformers, or export it to ONNX where you trust it."
        )
    return Source(kind="transformers", paths=(place,), about=about, config=config)


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object that came with a model. Raises `RefusedError` where it is missing or none."""
    try:
        content: Any = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise RefusedError(
            f"{file.parent.name} has no {file.name}; a folder in the format of transformers is needed, as "
            "`save_pretrained` of the model and of its processor writes it."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RefusedError(f"{file.name} of {file.parent.name} cannot be read: {error}. Fetch it again.") from error
    if not isinstance(content, dict):
        raise RefusedError(f"{file.name} of {file.parent.name} is not a JSON object. Fetch it again.")
    return content


def _not_a_model(place: Path) -> str:
    if place.suffix.lower() in _PICKLES:
        return (
            f"{place.name} is a checkpoint of Python's pickle, which can run any code when it is opened, and does not "
            "say which network it belongs to. Save the model with `save_pretrained` (safetensors), as .keras or as "
            ".onnx, and bring that."
        )
    return f"{place.name} is no model that can be brought: give a folder of transformers, a .h5, .keras or .onnx file."
