"""Work that repeats beside the requests. A run that fails is logged and tried again at the next turn."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every so many seconds, the first time at once."""

    name: str
    every_s: float
    work: Callable[[], Awaitable[object]]


@asynccontextmanager
async def doing(chores: Sequence[Chore]) -> AsyncGenerator[None]:
    """Do the chores as long as the context lasts."""
    tasks = [asyncio.create_task(_repeat(chore), name=chore.name) for chore in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(chore: Chore) -> None:
    while True:
        try:
            await chore.work()
        except Exception:  # noqa: BLE001 - Whatever it is, the next turn may go well; it is logged.
            _log.warning("chore_failed", chore=chore.name, exc_info=True)
        await asyncio.sleep(chore.every_s)
