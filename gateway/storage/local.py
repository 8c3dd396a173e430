"""Objects as files in a folder: nothing is copied that can be linked, and nothing is there before it is whole."""

import asyncio
import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from io import RawIOBase
from pathlib import Path
from threading import Event
from typing import Final
from uuid import uuid4

from obstore.store import LocalStore

from gateway.storage.buckets import PIECE_BYTES, ObjectStore, Stored, told

_ASIDE: Final = "aside"
_LINKS_REFUSED: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)
"""What linking ends with where only copying helps: another file system, or one without links."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class LocalObjectStore(ObjectStore):
    """Objects as files in a folder. What comes in is written aside and then linked, so that it is there whole."""

    def __init__(self, folder: Path) -> None:
        self.aside = folder / _ASIDE
        """Where files are written before they are objects; on the same file system."""
        self.aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        super().__init__(LocalStore(folder, automatic_cleanup=True))
        self._folder = folder

    async def put_file(self, path: str, file: Path) -> None:
        """Store what a file holds, which stays where it is: the same bytes under two names where that can be."""
        with told():
            await asyncio.to_thread(self._put_file, path, file)

    async def put_bytes(self, path: str, data: bytes) -> None:
        """Store bytes."""
        with told():
            await asyncio.to_thread(self._write, path, [data])

    async def fetch(self, path: str, to: Path) -> int:
        """Bring an object into a new file; returns its size in bytes. Raises MissingObjectError."""
        abandoned = Event()
        with told():
            try:
                return await asyncio.to_thread(self._fetch, path, to, abandoned)
            except asyncio.CancelledError:
                # The thread goes on: whichever of the two comes later removes what nobody waits for any more.
                abandoned.set()
                await asyncio.to_thread(to.unlink, missing_ok=True)
                raise

    async def digest(self, path: str) -> bytes:
        """The SHA-256 of an object. Raises MissingObjectError."""
        with told():
            return await asyncio.to_thread(self._digest, path)

    async def join(self, paths: Sequence[str], to: str) -> bytes:
        """Store objects one behind the other as one; returns its SHA-256. Raises MissingObjectError."""
        with told():
            return await asyncio.to_thread(self._join, paths, to)

    async def list(self, prefix: str = "") -> AsyncGenerator[Stored]:
        """What there is below a path, in no order that is promised."""
        async for one in super().list(prefix):
            if not one.path.startswith(f"{_ASIDE}/"):
                yield one

    async def sign_put(self, path: str, expires: timedelta) -> str | None:  # noqa: ARG002 - Files know no addresses.
        """None: the gateway has a route of its own for what is sent to a folder."""
        return None

    def adopt(self, file: Path, path: str) -> bool:
        """Make a file written aside an object, unless there is one; false where there is. Blocks: call it in a thread.

        It is on the disk when this returns, and the file aside is gone.
        """
        with told():
            try:
                self._link(file, path)
            except FileExistsError:
                return False
            file.unlink()
            return True

    @contextmanager
    def writing_aside(self) -> Generator[Path]:
        """A name for a file to be written aside, which is removed in the end if nothing became of it."""
        file = self.aside / uuid4().hex
        try:
            yield file
        finally:
            file.unlink(missing_ok=True)

    def sweep_aside(self, older_than_s: float) -> int:
        """Remove files aside that nobody wrote to for so long; returns how many. Blocks: call it in a thread."""
        oldest, removed = time.time() - older_than_s, 0
        for file in self.aside.iterdir():
            with suppress(FileNotFoundError):  # It became an object, or another process swept it.
                if file.stat().st_mtime < oldest:
                    file.unlink()
                    removed += 1
        return removed

    def _put_file(self, path: str, file: Path) -> None:
        try:
            with file.open("rb") as written:
                os.fsync(written.fileno())
            self._link(file, path)
        except FileExistsError:
            return
        except OSError as error:
            if error.errno not in _LINKS_REFUSED:
                raise
            with file.open("rb") as source:
                self._write(path, iter(partial(source.read, PIECE_BYTES), b""))

    def _fetch(self, path: str, to: Path, abandoned: Event) -> int:
        source = self._file(path)
        try:
            to.hardlink_to(source)
            # Both names are of one file, whose age would else be that of the object: too old to be left alone.
            os.utime(to)
        except OSError as error:
            if error.errno not in _LINKS_REFUSED:
                raise
            try:
                shutil.copyfile(source, to)
            except BaseException:
                to.unlink(missing_ok=True)
                raise
        size = to.stat().st_size
        if abandoned.is_set():
            to.unlink(missing_ok=True)
        return size

    def _digest(self, path: str) -> bytes:
        with self._file(path).open("rb") as file:
            return hashlib.file_digest(file, hashlib.sha256).digest()

    def _join(self, paths: Sequence[str], to: str) -> bytes:
        summed = hashlib.sha256()

        def pieces() -> Iterator[bytes]:
            for path in paths:
                with self._file(path).open("rb") as file:
                    while piece := file.read(PIECE_BYTES):
                        summed.update(piece)
                        yield piece

        self._write(to, pieces())
        return summed.digest()

    def _write(self, path: str, pieces: Iterable[bytes]) -> None:
        with self.writing_aside() as aside:
            with aside.open("xb", buffering=0) as file:
                for piece in pieces:
                    write_all(file, piece)
                os.fsync(file.fileno())
            self._place(path, aside.replace)

    def _link(self, file: Path, path: str) -> None:
        self._place(path, lambda target: target.hardlink_to(file))

    def _place(self, path: str, place: Callable[[Path], object]) -> None:
        target = self._file(path)
        for final in (False, False, True):
            try:
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                place(target)
                _sync_folder(target.parent)
            except FileNotFoundError:
                # Whoever removed the last object of the folder meanwhile removed the folder, too.
                if final:
                    raise
            else:
                return

    def _file(self, path: str) -> Path:
        parts = path.split("/")
        if not all(_PLAIN.fullmatch(part) for part in parts):
            raise ValueError(f"{path!r} is no path of an object.")
        return self._folder.joinpath(*parts)


def write_all(file: RawIOBase, data: bytes | bytearray) -> None:
    """Write all of it, however much the system takes at once. Blocks."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
