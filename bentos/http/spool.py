"""Media on disk: those that the gateway left in the spool folder, and bodies too large to hold in memory.

Both are handed on as open files, by a path under `/proc`: what was checked is what is read, whoever changes the
folder meanwhile, and the file goes when the call does, even if the service dies.
"""

import os
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bentos.contract import InvalidReferenceError, Reference, read_reference
from bentos.errors import BadReferenceError, EmptyMediaError

# Without O_NONBLOCK a FIFO left in the folder would hold the service until somebody writes to it.
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Referred:
    """What a reference says, and the path of the open file that it names."""

    reference: Reference
    path: Path


@contextmanager
def open_reference(token: str, *, key: str, folder: Path) -> Generator[Referred]:
    """Open the medium that a signed reference names, which has exactly the size that the reference says.

    Raises:
        BadReferenceError: The signature is wrong or expired, or it names no regular file of that size right inside
            `folder`: not through a symbolic link, not in a folder below or above.
        EmptyMediaError: The file is empty.
    """
    try:
        reference = read_reference(token, key=key)
    except InvalidReferenceError as error:
        raise BadReferenceError from error
    if not _is_plain_name(reference.name):
        raise BadReferenceError("The media reference does not name a file of the spool folder.")
    file = _open_inside(folder, reference.name)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_size != reference.size:
            raise BadReferenceError("The media reference does not fit the file that it names.")
        if found.st_size == 0:
            raise EmptyMediaError
        yield Referred(reference, path_of(file))
    finally:
        os.close(file)


def path_of(file: int) -> Path:
    """Return a path by which this process's children can open the file behind a descriptor of ours."""
    return Path(f"/proc/{os.getpid()}/fd/{file}")


def open_nameless(folder: Path) -> IO[bytes]:
    """Open a new file in `folder` that has no name and is gone once closed. Raises `OSError` where it cannot be."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder, buffering=0)


def _is_plain_name(name: str) -> bool:
    return name not in {"", ".", ".."} and "/" not in name and "\0" not in name


def _open_inside(folder: Path, name: str) -> int:
    """Open `name` relative to the folder itself, so that no part of a path can lead elsewhere."""
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return os.open(name, _OPEN_FLAGS, dir_fd=directory)
        finally:
            os.close(directory)
    except (OSError, ValueError) as error:
        raise BadReferenceError("The media reference names no file of the spool folder.") from error
