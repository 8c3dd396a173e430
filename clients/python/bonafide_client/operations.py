"""How a method that is written once serves both clients.

A resource's method builds a `Call` and knows no I/O. Its decorator makes of it a method that makes the call: it
returns the result on a `Bonafide`, and something to await on an `AsyncBonafide`. Type checkers see which, by the
driver that the resource was made with.
"""

import time
from collections.abc import Callable, Coroutine, Generator
from functools import partial, wraps
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import anyio
from anyio.to_thread import run_sync

from bonafide_client.calls import Call
from bonafide_client.drivers import AsyncDriver, SyncDriver
from bonafide_client.following import AsyncFollowing, FollowCall, Following
from bonafide_client.paging import AsyncPages, PageCall, Pages
from bonafide_client.steps import Wait
from bonafide_client.streams import AsyncStream, Stream

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D", SyncDriver, AsyncDriver)
Course = Generator[Call[Any] | Wait | Callable[[], Any], Any, T]
"""Several calls, with waits and work that blocks in between: each is done, and what came of it sent back."""


class Resource(Generic[D]):
    """A noun of the API, with the driver that makes its calls."""

    def __init__(self, driver: D) -> None:
        self._driver: D = driver

    @property
    def driver(self) -> D:
        """What makes the calls."""
        return self._driver


class _Method(Generic[P, T]):
    """A method that builds what a driver then does; looked up in the class it is itself, for the documentation."""

    def __init__(self, build: Callable[Concatenate[Any, P], T]) -> None:
        self._build = build
        self.__doc__ = build.__doc__
        self.__wrapped__ = build

    @property
    def build(self) -> Callable[Concatenate[Any, P], T]:
        """What makes the value, given the resource and the arguments."""
        return self._build

    def _bound(self, resource: Resource[Any] | None, do: Callable[[Any, T], Any]) -> Any:
        """The method of a resource, which lets its driver `do` what it builds."""
        if resource is None:
            return self
        driver, build = resource.driver, MethodType(self._build, resource)

        @wraps(build)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return do(driver, build(*args, **kwargs))

        return method


class Operation(_Method[P, Call[T]]):
    """A method with one result."""

    @overload
    def __get__(self, resource: Resource[SyncDriver], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[AsyncDriver], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, resource: None, owner: type) -> "Operation[P, T]": ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        """The method bound to a resource."""
        return self._bound(resource, lambda driver, call: driver.run(call))


class Listing(_Method[P, PageCall[T]]):
    """A method with many results, on pages."""

    @overload
    def __get__(self, resource: Resource[SyncDriver], owner: type) -> Callable[P, Pages[T]]: ...
    @overload
    def __get__(self, resource: Resource[AsyncDriver], owner: type) -> Callable[P, AsyncPages[T]]: ...
    @overload
    def __get__(self, resource: None, owner: type) -> "Listing[P, T]": ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        """The method bound to a resource."""
        return self._bound(resource, _pages)


class Streaming(_Method[P, Call[None]]):
    """A method whose result is read as it comes."""

    @overload
    def __get__(self, resource: Resource[SyncDriver], owner: type) -> Callable[P, Stream]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncDriver], owner: type
    ) -> Callable[P, Coroutine[Any, Any, AsyncStream]]: ...
    @overload
    def __get__(self, resource: None, owner: type) -> "Streaming[P]": ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        """The method bound to a resource."""
        return self._bound(resource, lambda driver, call: driver.open(call))


class Live(_Method[P, FollowCall]):
    """A method whose results come as they happen."""

    @overload
    def __get__(self, resource: Resource[SyncDriver], owner: type) -> Callable[P, Following]: ...
    @overload
    def __get__(self, resource: Resource[AsyncDriver], owner: type) -> Callable[P, AsyncFollowing]: ...
    @overload
    def __get__(self, resource: None, owner: type) -> "Live[P]": ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        """The method bound to a resource."""
        return self._bound(resource, _follow)


class Procedure(_Method[P, Course[T]]):
    """A method that makes several calls and has one result."""

    @overload
    def __get__(self, resource: Resource[SyncDriver], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[AsyncDriver], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, resource: None, owner: type) -> "Procedure[P, T]": ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        """The method bound to a resource."""
        return self._bound(resource, _walk)


def _follow(driver: SyncDriver | AsyncDriver, call: FollowCall) -> Following | AsyncFollowing:
    return Following(driver, call) if isinstance(driver, SyncDriver) else AsyncFollowing(driver, call)


def _walk(driver: SyncDriver | AsyncDriver, course: Course[T]) -> T | Coroutine[Any, Any, T]:
    return _walk_blocking(driver, course) if isinstance(driver, SyncDriver) else _walk_awaiting(driver, course)


def _walk_blocking(driver: SyncDriver, course: Course[T]) -> T:
    advance: Callable[[], Any] = lambda: next(course)  # noqa: E731 - It is replaced with each step.
    while True:
        try:
            step = advance()
        except StopIteration as end:
            return end.value
        try:
            found = _do(driver, step)
        except Exception as error:  # noqa: BLE001 - The course decides what it means; most let it through.
            advance = partial(course.throw, error)
        else:
            advance = partial(course.send, found)


async def _walk_awaiting(driver: AsyncDriver, course: Course[T]) -> T:
    advance: Callable[[], Any] = lambda: next(course)  # noqa: E731 - The same.
    while True:
        try:
            step = advance()
        except StopIteration as end:
            return end.value
        try:
            found = await _do_awaiting(driver, step)
        except Exception as error:  # noqa: BLE001 - The same.
            advance = partial(course.throw, error)
        else:
            advance = partial(course.send, found)


def _do(driver: SyncDriver, step: Call[Any] | Wait | Callable[[], Any]) -> Any:
    if isinstance(step, Call):
        return driver.run(step)
    return time.sleep(step.seconds) if isinstance(step, Wait) else step()


async def _do_awaiting(driver: AsyncDriver, step: Call[Any] | Wait | Callable[[], Any]) -> Any:
    if isinstance(step, Call):
        return await driver.run(step)
    return await (anyio.sleep(step.seconds) if isinstance(step, Wait) else run_sync(step))


def _pages(driver: SyncDriver | AsyncDriver, call: PageCall[T]) -> Pages[T] | AsyncPages[T]:
    return Pages(driver, call) if isinstance(driver, SyncDriver) else AsyncPages(driver, call)
