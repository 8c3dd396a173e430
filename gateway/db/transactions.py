"""Transactions that may be part of a larger one, so that an effect and what is kept of it are committed together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_CURRENT: Final[ContextVar[AsyncConnection | None]] = ContextVar("current_transaction", default=None)


class SecondConnectionError(RuntimeError):
    """A task that holds one connection asks for another: enough of them at once would wait for each other."""


class LoneEngine(AsyncEngine):
    """An engine that gives a task no second connection within a `joinable_transaction`.

    As many such tasks as the pool has connections would hold all of them and wait for one more. Whatever may run there
    uses `transaction`; what does not is refused even where connections are plenty, so that no test can miss it.
    """

    __slots__ = ()

    def connect(self) -> AsyncConnection:
        """A connection, for `begin` too. Raises SecondConnectionError within a `joinable_transaction`."""
        if _CURRENT.get() is not None:
            raise SecondConnectionError("Use `transaction` here: the connection of this task is taken already.")
        return super().connect()


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    """A transaction, committed at the end of the context and rolled back by an exception.

    Within `joinable_transaction` it is a part of that one: a savepoint, committed with the whole.
    """
    outer = _CURRENT.get()
    if outer is None:
        async with engine.begin() as connection:
            yield connection
    else:
        async with outer.begin_nested():
            yield outer


@asynccontextmanager
async def joinable_transaction(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    """A transaction that every `transaction` of this task joins."""
    async with engine.begin() as connection:
        token = _CURRENT.set(connection)
        try:
            yield connection
        finally:
            _CURRENT.reset(token)
