"""Media on their way up: where the bytes come from, and the form that carries them, never held whole.

What can be read again from where it began (a path, bytes, a seekable file) can be sent again; a stream cannot.
"""

import io
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from anyio.to_thread import run_sync

File = str | os.PathLike[str] | bytes | BinaryIO | Iterable[bytes] | AsyncIterable[bytes]
"""What can be judged: a path, the bytes, an open binary file (read from where it stands), or a stream of pieces."""

CHUNK_BYTES: Final = 256 * 1024
_NAMELESS: Final = "upload"


@dataclass(frozen=True)
class _Reread:
    """Bytes that can be read as often as needed; `close` is false for a file that the caller opened."""

    open: Callable[[], BinaryIO]
    length: int
    close: bool


@dataclass
class _Stream:
    """Bytes that can be read once."""

    pieces: Iterable[bytes] | AsyncIterable[bytes]
    begun: bool = False

    def begin(self) -> Iterable[bytes] | AsyncIterable[bytes]:
        self.begun = True
        return self.pieces


class Upload:
    """A multipart form with one file, in the field `file`, after the other fields."""

    def __init__(self, file: File, *, filename: str | None, fields: Iterable[tuple[str, str]]) -> None:
        name, self._source = _understand(file)
        self._boundary = secrets.token_hex(16)
        self._head = b"".join(self._field(field, value) for field, value in fields) + self._part(
            f'name="file"; filename="{_quoted(filename or name)}"\r\nContent-Type: application/octet-stream'
        )
        self._tail = f"\r\n--{self._boundary}--\r\n".encode()

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent from its start, now."""
        return isinstance(self._source, _Reread) or not self._source.begun

    @property
    def headers(self) -> dict[str, str]:
        """The headers that describe the form; without a length where that of a stream is not known."""
        headers = {"content-type": f"multipart/form-data; boundary={self._boundary}"}
        if isinstance(self._source, _Reread):
            headers["content-length"] = str(len(self._head) + self._source.length + len(self._tail))
        return headers

    def pieces(self) -> Generator[bytes]:
        """The form, piece by piece. Raises TypeError for an asynchronous stream, OSError for a file that shrank."""
        yield self._head
        if isinstance(self._source, _Reread):
            file = self._source.open()
            try:
                for size in _sizes(self._source.length):
                    yield _whole(file.read(size), size)
            finally:
                if self._source.close:
                    file.close()
        else:
            pieces = self._source.begin()
            if not isinstance(pieces, Iterable):
                raise TypeError("An asynchronous stream needs the asynchronous client.")
            yield from pieces
        yield self._tail

    async def apieces(self) -> AsyncGenerator[bytes]:
        """As `pieces`, with files read in threads of their own."""
        yield self._head
        if isinstance(self._source, _Reread):
            file = await run_sync(self._source.open)
            try:
                for size in _sizes(self._source.length):
                    yield _whole(await run_sync(file.read, size), size)
            finally:
                if self._source.close:
                    file.close()
        else:
            pieces = self._source.begin()
            if isinstance(pieces, Iterable):
                iterator = iter(pieces)
                while (piece := await run_sync(next, iterator, None, abandon_on_cancel=True)) is not None:
                    yield piece
            else:
                async for piece in pieces:
                    yield piece
        yield self._tail

    def _field(self, name: str, value: str) -> bytes:
        return self._part(f'name="{name}"') + value.encode() + b"\r\n"

    def _part(self, rest: str) -> bytes:
        return f"--{self._boundary}\r\nContent-Disposition: form-data; {rest}\r\n\r\n".encode()


class Body(Upload):
    """A file as the whole body, by its media type."""

    def __init__(self, file: File, *, media_type: str) -> None:  # Nothing stands around the file, as in a form.
        _, self._source = _understand(file)
        self._media_type = media_type
        self._head = self._tail = b""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that describe the file; without a length where that of a stream is not known."""
        headers = {"content-type": self._media_type}
        if isinstance(self._source, _Reread):
            headers["content-length"] = str(self._source.length)
        return headers


class Stretch(Upload):
    """Some bytes of a file as the whole body, with the headers that they were asked for with."""

    def __init__(self, file: Path, *, start: int, size: int, headers: Mapping[str, str]) -> None:
        def opened() -> BinaryIO:
            stretch = file.open("rb")
            stretch.seek(start)
            return stretch

        self._source = _Reread(opened, size, close=True)
        self._headers = headers
        self._head = self._tail = b""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that were asked for, and the length."""
        return {**self._headers, "content-length": str(self._source.length)}


def _understand(file: File) -> tuple[str, _Reread | _Stream]:
    """The name that a file has by itself, and how to read it."""
    if isinstance(file, (str, os.PathLike)):
        path = Path(file)
        return path.name, _Reread(lambda: path.open("rb"), path.stat().st_size, close=True)
    if isinstance(file, (bytes, bytearray, memoryview)):
        data = bytes(file)
        return _NAMELESS, _Reread(lambda: io.BytesIO(data), len(data), close=True)
    if not hasattr(file, "read"):
        return _NAMELESS, _Stream(cast("Iterable[bytes]", file))
    opened = cast("BinaryIO", file)
    name = getattr(opened, "name", None)
    name = Path(name).name if isinstance(name, str) else _NAMELESS
    if not opened.seekable():
        return name, _Stream(iter(lambda: opened.read(CHUNK_BYTES), b""))
    start = opened.tell()
    length = opened.seek(0, os.SEEK_END) - start
    opened.seek(start)

    def rewound() -> BinaryIO:
        opened.seek(start)
        return opened

    return name, _Reread(rewound, length, close=False)


def _sizes(length: int) -> Iterator[int]:
    """The sizes of the pieces in which `length` bytes are read."""
    for begun in range(0, length, CHUNK_BYTES):
        yield min(CHUNK_BYTES, length - begun)


def _whole(piece: bytes, size: int) -> bytes:
    if len(piece) != size:
        raise OSError("The file became shorter while it was sent.")
    return piece


def _quoted(name: str) -> str:
    """A file name as browsers write it into a form."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
