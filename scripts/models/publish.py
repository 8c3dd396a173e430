"""Writes into the model repository so that a reader never meets half a version.

Everything is written aside, on the same file system, and renamed into place: files by `os.replace`, a version's folder
by one `rename`. Only this module writes to the repository.
"""

import hashlib
import os
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.cards import CARD_FILE, TRAFFIC_FILE, Card, TrafficTable, read_card

MODEL_FILE: Final = "model.onnx"
CONFIG_FILE: Final = "config.pbtxt"
GOLDEN_FOLDER: Final = "golden"
GOLDEN_INPUTS: Final = "inputs.npz"


class PublishError(RuntimeError):
    """The version cannot be published."""


def digest_of(data: bytes) -> str:
    """Digest of a version's `model.onnx` or another of its files as its card gives it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_file(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step, durably; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with aside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def publish_version(
    repository: Path, card: Card, weights: bytes, *, files: Mapping[str, bytes] | None = None, replace: bool = False
) -> Path:
    """Write `<model>/<version>/` with `model.onnx`, `card.json` and the other `files`, and return its folder.

    A published version stays as it is, because callers quote its digest; `replace` is for versions that nobody serves.

    Raises:
        PublishError: The card's digests are not those of `weights` and `files`, or the version exists and `replace`
            is false.
        OSError: It could not be written, for example because the disk is full; nothing of it stays.
    """
    files = files or {}
    if card.digest != digest_of(weights):
        raise PublishError("the card's digest is not that of the weights")
    if card.files != {name: digest_of(data) for name, data in files.items()}:
        raise PublishError("the card's digests are not those of the other files")
    folder = repository / card.model / str(card.version)
    if folder.exists() and not replace:
        message = f"version {card.version} of {card.model} is already published"
        raise PublishError(message)
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    retired = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.retired")
    try:
        write_file(aside / MODEL_FILE, weights)
        for name, data in files.items():
            write_file(aside / name, data)
        write_file(aside / CARD_FILE, _readable_json(card))
        if folder.exists():
            folder.rename(retired)
        aside.rename(folder)
    except BaseException:
        if retired.exists() and not folder.exists():
            retired.rename(folder)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)
    return folder


def replace_card(repository: Path, card: Card) -> None:
    """Put another card in place of a version's own, in one step; its weights and files stay what they are.

    Raises:
        PublishError: The new card names other weights or files.
    """
    file = repository / card.model / str(card.version) / CARD_FILE
    before = read_card(file.read_bytes())
    if (before.digest, before.files) != (card.digest, card.files):
        raise PublishError("a card of other weights cannot take this one's place")
    write_file(file, _readable_json(card))


def write_traffic(repository: Path, table: TrafficTable) -> None:
    """Write `serving.json`, which the Bentos follow."""
    write_file(repository / TRAFFIC_FILE, _readable_json(table))


def write_golden(
    repository: Path, model: str, version: int, *, inputs: Mapping[str, NDArray], outputs: Mapping[str, NDArray]
) -> None:
    """Write golden inputs, one set a model, and what `version` answers to them, both as compressed arrays by name.

    Without `inputs` those that are there stay.
    """
    folder = repository / model / GOLDEN_FOLDER
    if inputs:
        _write_arrays(folder / GOLDEN_INPUTS, inputs)
    _write_arrays(folder / f"{version}.npz", outputs)


def read_golden(repository: Path, model: str, version: int) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
    """Golden inputs of `model` and the answers of `version`, by name.

    Raises:
        OSError: A file is missing or cannot be read.
        ValueError: A file is broken.
    """
    folder = repository / model / GOLDEN_FOLDER
    return _read_arrays(folder / GOLDEN_INPUTS), _read_arrays(folder / f"{version}.npz")


def as_sent(inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Golden inputs as Triton takes them: texts, which are kept as strings of one length, are sent as bytes."""
    return {name: _as_bytes(values) if values.dtype.kind in "USO" else values for name, values in inputs.items()}


def _as_bytes(texts: NDArray) -> NDArray:
    sent = np.empty(texts.size, np.object_)
    sent[:] = [text.encode() if isinstance(text, str) else bytes(text) for text in texts.ravel().tolist()]
    return sent.reshape(texts.shape)


def _read_arrays(file: Path) -> dict[str, NDArray]:
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return dict(arrays)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{file} is broken: {error}") from error


def _write_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{secrets.token_hex(4)}.npz")
    try:
        np.savez_compressed(aside, allow_pickle=False, **arrays)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _readable_json(record: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
