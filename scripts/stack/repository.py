"""What the model repository says must be served: the versions that get traffic, and the encoders they are pinned to."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from bentos.cards import CARD_FILE, TRAFFIC_FILE, Card, read_card, read_traffic

T = TypeVar("T")


class RepositoryError(Exception):
    """The model repository does not hold together."""


def served(repository: Path) -> dict[str, tuple[int, ...]]:
    """Return the versions to load by model: those of each route, and the encoders that their cards pin.

    Raises:
        RepositoryError: The traffic table or a card is missing or broken.
    """
    table = _read(repository / TRAFFIC_FILE, read_traffic)
    versions: dict[str, set[int]] = defaultdict(set)
    for model, route in table.models.items():
        versions[model] |= route.versions
    for model, numbers in list(versions.items()):
        for version in numbers:
            pinned = card(repository, model, version).encoder
            if pinned:
                versions[pinned.model].add(pinned.version)
    return {model: tuple(sorted(numbers)) for model, numbers in sorted(versions.items())}


def card(repository: Path, model: str, version: int) -> Card:
    """Return the card of a version. Raises `RepositoryError` where it is missing or broken."""
    return _read(repository / model / str(version) / CARD_FILE, read_card)


def problems(repository: Path) -> list[str]:
    """Return, in plain words, everything that keeps the repository from being served as its cards say."""
    try:
        versions = served(repository)
    except RepositoryError as error:
        return [str(error)]
    found = [
        f"{model} has no config.pbtxt." for model in versions if not (repository / model / "config.pbtxt").is_file()
    ]
    for model, numbers in versions.items():
        for version in numbers:
            found += _problems_of(repository, model, version, versions)
    return found


def _problems_of(repository: Path, model: str, version: int, versions: Mapping[str, tuple[int, ...]]) -> list[str]:
    try:
        it = card(repository, model, version)
        folder = repository / model / str(version)
        weights = (folder / "model.onnx").read_bytes()
        files = {name: (folder / name).read_bytes() for name in it.files}
        pinned = it.encoder and card(repository, it.encoder.model, it.encoder.version)
    except (RepositoryError, OSError) as error:
        return [str(error)]
    found = []
    if it.digest != f"sha256:{hashlib.sha256(weights).hexdigest()}":
        found.append(f"The weights of {model} version {version} are not those that its card names.")
    found += [
        f"{name} of {model} version {version} is not the one that its card names."
        for name, data in files.items()
        if it.files[name] != f"sha256:{hashlib.sha256(data).hexdigest()}"
    ]
    if (it.model, it.version) != (model, version):
        found.append(f"The card of {model} version {version} is that of {it.model} version {it.version}.")
    if it.encoder and pinned and (pinned.digest != it.encoder.digest or it.encoder.model not in versions):
        found.append(f"{model} version {version} was trained on another {it.encoder.model}.")
    return found


def _read(file: Path, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(file.read_bytes())
    except OSError as error:
        raise RepositoryError(f"{file} cannot be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise RepositoryError(f"{file} is broken: {error}.") from error
