"""Labelled media: a folder with `real/` and `fake/` in it, or a CSV with the columns `path` and `label`."""

import csv
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scripts.models.errors import RefusedError

REAL_FOLDER: Final = "real"
FAKE_FOLDER: Final = "fake"
FOLDER_COLUMN: Final = "folder"
"""Slice by the folder below `real/` or `fake/` that a medium lies in, where there are any."""

_LABELS: Final = {
    **dict.fromkeys(("real", "genuine", "bonafide", "bona fide", "bona-fide", "0"), False),
    **dict.fromkeys(("fake", "spoof", "synthetic", "1"), True),
}
_NAME: Final = re.compile(r"[^a-z0-9_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A medium whose truth is known; `name` is its path as the set names it, `slices` its values by column."""

    path: Path
    name: str
    fake: bool
    slices: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSet:
    """The samples of a set, in the order of their names, both classes among them."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def digest(self) -> str:
        """What tells this set from another: SHA-256 over names, labels and sizes of all files."""
        hashed = hashlib.sha256()
        for sample in self.samples:
            size = sample.path.stat().st_size if sample.path.is_file() else -1
            hashed.update(f"{sample.name}\0{int(sample.fake)}\0{size}\n".encode())
        return f"sha256:{hashed.hexdigest()}"

    def halves(self, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Indices of two halves with as large a share of fakes each, drawn by the seed."""
        fake = np.asarray([sample.fake for sample in self.samples])
        return split(fake, seed)


def split(fake: NDArray[np.bool_], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of two halves with as large a share of fakes each, drawn by the seed, in rising order."""
    rng = np.random.default_rng(seed)
    first: list[int] = []
    for label in (False, True):
        members = rng.permutation(np.flatnonzero(fake == label))
        first.extend(members[: (len(members) + 1) // 2].tolist())
    chosen = np.zeros(len(fake), np.bool_)
    chosen[first] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def read_labelled(data: Path, *, name: str | None = None) -> LabelledSet:
    """Read a set; `name` is what reports and cards call it, by default as its folder or file.

    Raises:
        RefusedError: It is no such folder or CSV, a label is none, a file is named twice, or a class is empty.
    """
    if data.is_dir():
        samples = _of_folder(data)
    elif data.is_file():
        samples = _of_table(data)
    else:
        raise RefusedError(f"{data} is neither a folder with {REAL_FOLDER}/ and {FAKE_FOLDER}/ in it nor a CSV file.")
    for label, word in ((False, "genuine"), (True, "fake")):
        if not any(sample.fake is label for sample in samples):
            raise RefusedError(f"{data} holds no {word} media; nothing can be measured on one class alone.")
    chosen = _NAME.sub("-", (name or data.resolve().stem).lower()).strip("-")
    return LabelledSet(name=chosen or "set", samples=tuple(sorted(samples, key=lambda sample: sample.name)))


def _of_folder(data: Path) -> list[Sample]:
    samples: list[Sample] = []
    for folder, fake in ((REAL_FOLDER, False), (FAKE_FOLDER, True)):
        if not (data / folder).is_dir():
            raise RefusedError(
                f"{data} has no folder {folder}/; put genuine media into {REAL_FOLDER}/ and fakes into {FAKE_FOLDER}/."
            )
        for path in (data / folder).rglob("*"):
            within = path.relative_to(data)
            if not path.is_file() or any(part.startswith(".") for part in within.parts):
                continue
            below = within.parts[1:-1]
            slices = {FOLDER_COLUMN: below[0]} if below else {}
            samples.append(Sample(path=path, name=within.as_posix(), fake=fake, slices=slices))
    if any(sample.slices for sample in samples):
        # A slice is one of all media, so those that lie in no folder make one too.
        return [
            Sample(path=each.path, name=each.name, fake=each.fake, slices={FOLDER_COLUMN: "-", **each.slices})
            for each in samples
        ]
    return samples


def _of_table(data: Path) -> list[Sample]:
    try:
        with data.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, restkey="", restval="")
            columns = [column.strip() for column in rows.fieldnames or ()]
            rows.fieldnames = columns
            if not {"path", "label"} <= set(columns):
                raise RefusedError(f"{data} has the columns {columns}; it needs path and label, comma-separated.")
            samples = [_of_row(data, rows.line_num, row, columns) for row in rows]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise RefusedError(f"{data} cannot be read as a CSV file in UTF-8: {error}.") from error
    seen: set[Path] = set()
    for sample in samples:
        if sample.path in seen:
            raise RefusedError(f"{data} names {sample.name} twice; each medium counts once.")
        seen.add(sample.path)
    return samples


def _of_row(data: Path, line: int, row: dict[str, str], columns: list[str]) -> Sample:
    label = row["label"].strip().lower()
    if label not in _LABELS:
        raise RefusedError(f"{data}, line {line}: {row['label']!r} is no label; write real or fake.")
    if not row["path"].strip():
        raise RefusedError(f"{data}, line {line}: there is no path.")
    return Sample(
        path=data.resolve().parent / row["path"].strip(),
        name=row["path"].strip(),
        fake=_LABELS[label],
        slices={column: row[column].strip() or "-" for column in columns if column not in {"path", "label", ""}},
    )
