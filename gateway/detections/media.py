"""Where an uploaded medium is while it is judged: in memory if it is small, in the spool folder if not."""

import asyncio
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

SPOOL_SUFFIX: Final = ".media"
_WRITE_AT_ONCE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MemoryMedia:
    """A medium held in memory; `digest` is its SHA-256."""

    data: bytes
    digest: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class SpooledMedia:
    """A medium held as a file in the spool folder; `digest` is its SHA-256."""

    path: Path
    size: int
    digest: bytes


Media = MemoryMedia | SpooledMedia


class MemoryBudget:
    """The memory that all uploads of this process share."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    def take(self, size: int) -> bool:
        """Reserve bytes; false where they are not there."""
        if size > self._free:
            return False
        self._free -= size
        return True

    def give(self, size: int) -> None:
        """Return reserved bytes."""
        self._free += size


class MediaStore:
    """Takes media in, chunk by chunk, and lets go of them."""

    def __init__(self, spool: Path, *, memory_limit: int, budget: MemoryBudget) -> None:
        self._spool = spool
        self._memory_limit = memory_limit
        self._budget = budget
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)

    def writer(self) -> "MediaWriter":
        """A writer for one medium."""
        return MediaWriter(self._spool / f"{uuid4().hex}{SPOOL_SUFFIX}", self._memory_limit, self._budget)

    async def release(self, media: Media) -> None:
        """Let go of a medium: give its memory back or remove its file."""
        if isinstance(media, MemoryMedia):
            self._budget.give(media.size)
        else:
            await asyncio.to_thread(media.path.unlink, missing_ok=True)

    def sweep(self, older_than_s: float) -> int:
        """Remove files that a crash left behind; returns how many. Blocks: call it in a thread."""
        oldest = time.time() - older_than_s
        removed = 0
        for path in self._spool.glob(f"*{SPOOL_SUFFIX}"):
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:  # Another process swept it, or its request ended.
                continue
        return removed


class MediaWriter:
    """Collects one medium: in memory until that gets too much, from then on in a file, so that memory stays flat."""

    def __init__(self, path: Path, memory_limit: int, budget: MemoryBudget) -> None:
        self._path = path
        self._memory_limit = memory_limit
        self._budget = budget
        self._chunks: list[bytes] = []
        self._held = 0
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def spooled(self) -> bool:
        """Whether it goes to a file."""
        return self._file is not None

    @property
    def held(self) -> bytes:
        """What is in memory."""
        return b"".join(self._chunks)

    def keep(self, chunk: bytes) -> bool:
        """Keep a chunk in memory; false where that must not be, and the caller has to `spool` it."""
        size = len(chunk)
        if self._file is not None or self.size + size > self._memory_limit or not self._budget.take(size):
            return False
        self._chunks.append(chunk)
        self._held += size
        self.size += size
        return True

    async def spool(self, chunk: bytes) -> None:
        """Send a chunk to the file, after whatever is still in memory; written in pieces of about a megabyte."""
        if self._file is None:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(descriptor, "wb", buffering=0)
            self._pending = self._held
        self._chunks.append(chunk)
        self._pending += len(chunk)
        self.size += len(chunk)
        if self._pending >= _WRITE_AT_ONCE:
            await self._flush(self._file)

    async def finish(self) -> Media:
        """The complete medium."""
        if self._file is None:
            data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self._chunks = []
            return MemoryMedia(data, hashlib.sha256(data).digest())
        await self._flush(self._file)
        self._file.close()
        return SpooledMedia(self._path, self.size, self._hash.digest())

    async def discard(self) -> None:
        """Forget what came in."""
        self._chunks = []
        self._budget.give(self._held)
        self._held = 0
        if self._file is not None:
            self._file.close()
            await asyncio.to_thread(self._path.unlink, missing_ok=True)

    async def _flush(self, file: BinaryIO) -> None:
        data = b"".join(self._chunks)
        self._chunks = []
        self._pending = 0
        self._budget.give(self._held)
        self._held = 0
        await asyncio.to_thread(self._write_all, file, data)

    def _write_all(self, file: BinaryIO, data: bytes) -> None:
        self._hash.update(data)
        view = memoryview(data)
        while view:
            written = file.write(view)
            view = view[written:]
