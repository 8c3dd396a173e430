"""Lists that come page by page, each page asked for when it is needed."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from msgspec import Struct

from bonafide_client.answers import Answer
from bonafide_client.calls import Call, Query
from bonafide_client.drivers import AsyncDriver, SyncDriver

T = TypeVar("T")


class Page(Struct, Generic[T], frozen=True):
    """One page; `next_cursor` asks for the following one, and is None on the last."""

    data: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class PageCall(Generic[T]):
    """What is the same for all pages of a list."""

    path: str
    read: Callable[[Answer], Page[T]]
    query: Query = ()
    cursor: str | None = None

    def at(self, cursor: str | None) -> Call[Page[T]]:
        """The call for the page at a cursor; None: the first."""
        query = self.query if cursor is None else (*self.query, ("cursor", cursor))
        return Call(method="GET", path=self.path, read=self.read, query=query)


class Pages(Generic[T]):
    """All entries of a list: iterate over it, or over its `pages()`, as often as you like."""

    def __init__(self, driver: SyncDriver, call: PageCall[T]) -> None:
        self._driver = driver
        self._call = call

    def __iter__(self) -> Iterator[T]:
        """The entries, over all pages."""
        for page in self.pages():
            yield from page.data

    def pages(self) -> Iterator[Page[T]]:
        """The pages."""
        cursor = self._call.cursor
        while True:
            page = self._driver.run(self._call.at(cursor))
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    def first(self) -> Page[T]:
        """The first page alone."""
        return self._driver.run(self._call.at(self._call.cursor))


class AsyncPages(Generic[T]):
    """As `Pages`, asynchronously."""

    def __init__(self, driver: AsyncDriver, call: PageCall[T]) -> None:
        self._driver = driver
        self._call = call

    async def __aiter__(self) -> AsyncIterator[T]:
        """The entries, over all pages."""
        async for page in self.pages():
            for entry in page.data:
                yield entry

    async def pages(self) -> AsyncIterator[Page[T]]:
        """The pages."""
        cursor = self._call.cursor
        while True:
            page = await self._driver.run(self._call.at(cursor))
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    async def first(self) -> Page[T]:
        """The first page alone."""
        return await self._driver.run(self._call.at(self._call.cursor))
