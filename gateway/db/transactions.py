"""Transactions that may be part of a larger one, so that an effect and what is kept of it are committed together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_CURRENT: Final[ContextVar[AsyncConnection | None]] = ContextVar("current_transaction", default=None)


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
