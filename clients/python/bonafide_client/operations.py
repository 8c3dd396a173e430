"""How a method that is written once serves both clients.

A resource's method builds a `Call` and knows no I/O. Its decorator makes of it a method that makes the call: it
returns the result on a `Bonafide`, and something to await on an `AsyncBonafide`. Type checkers see which, by the
driver that the resource was made with.
"""

from collections.abc import Callable, Coroutine
from functools import wraps
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from bonafide_client.calls import Call
from bonafide_client.drivers import AsyncDriver, SyncDriver
from bonafide_client.paging import AsyncPages, PageCall, Pages
from bonafide_client.streams import AsyncStream, Stream

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D", SyncDriver, AsyncDriver)


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


def _pages(driver: SyncDriver | AsyncDriver, call: PageCall[T]) -> Pages[T] | AsyncPages[T]:
    return Pages(driver, call) if isinstance(driver, SyncDriver) else AsyncPages(driver, call)
