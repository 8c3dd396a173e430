"""Answers that are read as they come, such as exports: flat in memory, however long they are."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Self, cast

import anyio
import httpx

from bonafide_client.answers import Answer
from bonafide_client.wire import OpenAnswer, error_for


class _Lines:
    """Splits at line feeds alone: JSON may hold other characters that end a line elsewhere."""

    def __init__(self) -> None:
        self._begun = bytearray()

    def take(self, piece: bytes) -> list[str]:
        """The lines that a piece completes."""
        *complete, last = piece.split(b"\n")
        if not complete:
            self._begun += last
            return []
        complete[0] = bytes(self._begun) + complete[0]
        self._begun = bytearray(last)
        return [line.decode().removesuffix("\r") for line in complete]

    def rest(self) -> list[str]:
        """The last line where nothing ends it."""
        return [self._begun.decode()] if self._begun else []


class Stream:
    """The body of an answer, to be read once; a context manager that ends the connection.

    Reading raises NoAnswerError where the body breaks off. Nothing is repeated then, for part of it is out already.
    """

    def __init__(self, answer: Answer) -> None:
        self._response = cast("OpenAnswer", answer).response

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return self._response.status_code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._response.close()

    def __iter__(self) -> Iterator[bytes]:
        """The body, piece by piece."""
        try:
            yield from self._response.iter_bytes()
        except httpx.RequestError as error:
            raise error_for(error) from error

    def lines(self) -> Iterator[str]:
        """The body, line by line, without the line ends."""
        lines = _Lines()
        for piece in self:
            yield from lines.take(piece)
        yield from lines.rest()

    def save(self, path: str | os.PathLike[str]) -> int:
        """Write the body to a file; the bytes written."""
        with Path(path).open("wb") as file:
            return sum(file.write(piece) for piece in self)


class AsyncStream:
    """As `Stream`, asynchronously."""

    def __init__(self, answer: Answer) -> None:
        self._response = cast("OpenAnswer", answer).response

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return self._response.status_code

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the connection."""
        await self._response.aclose()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, piece by piece."""
        try:
            async for piece in self._response.aiter_bytes():
                yield piece
        except httpx.RequestError as error:
            raise error_for(error) from error

    async def lines(self) -> AsyncIterator[str]:
        """The body, line by line, without the line ends."""
        lines = _Lines()
        async for piece in self:
            for line in lines.take(piece):
                yield line
        for line in lines.rest():
            yield line

    async def save(self, path: str | os.PathLike[str]) -> int:
        """Write the body to a file; the bytes written."""
        written = 0
        async with await anyio.open_file(path, "wb") as file:
            async for piece in self:
                written += await file.write(piece)
        return written
