"""Objects in a bucket of S3, Google Cloud or Azure; `local` has the same for a folder."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import obstore
import obstore.exceptions
import structlog

from gateway.errors import StorageUnavailableError
from gateway.settings import MIB

PIECE_BYTES: Final = MIB
"""How much of an object is held at a time where it is streamed."""
_SENT_BYTES: Final = 8 * MIB
_SENT_AT_ONCE: Final = 4
_RETRY_S: Final = 5
_FAILED: Final = (obstore.exceptions.BaseError, OSError)

_log = structlog.stdlib.get_logger(__name__)


class MissingObjectError(Exception):
    """There is no object under this path."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is there: its path, its size in bytes, when it was written."""

    path: str
    size: int
    at: datetime


class ObjectStore:
    """Objects in a bucket; `LocalObjectStore` has the same methods.

    Every method raises StorageUnavailableError where the store does not do what it is asked.
    """

    def __init__(self, store: Any, *, put_headers: Mapping[str, str] | None = None) -> None:
        self._store = store
        self.put_headers: Mapping[str, str] = put_headers or {}
        """What has to be sent along when an object is put to a signed address."""

    async def put_file(self, path: str, file: Path) -> None:
        """Store what a file holds, which stays where it is."""
        with told():
            await self._store.put_async(path, file, chunk_size=_SENT_BYTES, max_concurrency=_SENT_AT_ONCE)

    async def put_bytes(self, path: str, data: bytes) -> None:
        """Store bytes."""
        with told():
            await self._store.put_async(path, data)

    async def fetch(self, path: str, to: Path) -> int:
        """Bring an object into a new file; returns its size in bytes. Raises MissingObjectError."""
        size = 0
        try:
            with await asyncio.to_thread(to.open, "xb") as file:
                async for piece in self.stream(path):
                    size += await asyncio.to_thread(file.write, piece)
        except BaseException:
            await asyncio.to_thread(to.unlink, missing_ok=True)
            raise
        return size

    async def stream(self, path: str) -> AsyncGenerator[bytes]:
        """The bytes of an object, in pieces of about a megabyte. Raises MissingObjectError."""
        with told():
            result = await self._store.get_async(path)
            async for piece in result.stream(min_chunk_size=PIECE_BYTES):
                yield bytes(piece)

    async def head(self, path: str, size: int) -> bytes:
        """The first bytes of an object that is not empty, at most `size`. Raises MissingObjectError."""
        with told():
            return bytes(await self._store.get_range_async(path, start=0, end=size))

    async def digest(self, path: str) -> bytes:
        """The SHA-256 of an object. Raises MissingObjectError."""
        summed = hashlib.sha256()
        async for piece in self.stream(path):
            await asyncio.to_thread(summed.update, piece)
        return summed.digest()

    async def join(self, paths: Sequence[str], to: str) -> bytes:
        """Store objects one behind the other as one; returns its SHA-256. Raises MissingObjectError."""
        summed = hashlib.sha256()

        async def pieces() -> AsyncIterator[bytes]:
            for path in paths:
                async for piece in self.stream(path):
                    await asyncio.to_thread(summed.update, piece)
                    yield piece

        with told():
            await self._store.put_async(to, pieces(), chunk_size=_SENT_BYTES, max_concurrency=_SENT_AT_ONCE)
        return summed.digest()

    async def copy(self, path: str, to: str) -> None:
        """Have an object under another path, too. Raises MissingObjectError."""
        with told():
            await self._store.copy_async(path, to)

    async def move(self, path: str, to: str) -> None:
        """Have an object under another path. Raises MissingObjectError."""
        await self.copy(path, to)
        await self.remove(path)

    async def size(self, path: str) -> int | None:
        """How many bytes an object has; None where there is none."""
        try:
            with told():
                return (await self._store.head_async(path))["size"]
        except MissingObjectError:
            return None

    async def list(self, prefix: str = "") -> AsyncGenerator[Stored]:
        """What there is below a path, in no order that is promised."""
        with told():
            async for page in self._store.list(prefix or None):
                for one in page:
                    yield Stored(one["path"], one["size"], one["last_modified"])

    async def remove(self, path: str) -> None:
        """Remove an object, if it is there."""
        try:
            with told():
                await self._store.delete_async(path)
        except MissingObjectError:
            return

    def sweep_aside(self, older_than_s: float) -> int:  # noqa: ARG002 - A bucket has nothing aside.
        """Remove what was begun and left for so long; returns how much. Blocks: call it in a thread."""
        return 0

    async def sign_put(self, path: str, expires: timedelta) -> str | None:
        """An address to which anyone may put an object for so long; None where the store knows no such thing."""
        with told():
            return await obstore.sign_async(self._store, "PUT", path, expires)


@contextmanager
def told() -> Generator[None]:
    """Say in our errors what a store says in its own."""
    try:
        yield
    except FileNotFoundError as error:
        raise MissingObjectError from error
    except FileExistsError:
        raise
    except _FAILED as error:
        _log.warning("object_store_failed", error=str(error).partition("\n")[0][:500])
        raise StorageUnavailableError(retry_after_s=_RETRY_S) from error
