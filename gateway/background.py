"""Work that repeats beside the requests. A run that fails is logged and tried again at the next turn."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

_FINISH_S = 5.0

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every so many seconds, the first time at once."""

    name: str
    every_s: float
    work: Callable[[], Awaitable[object]]


@asynccontextmanager
async def doing(chores: Sequence[Chore]) -> AsyncGenerator[None]:
    """Do the chores as long as the context lasts; what is being done at its end may take a moment to finish.

    They are told to stop rather than cancelled: a library that waits for something may swallow a cancellation.
    """
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(_repeat(chore, stopping), name=chore.name) for chore in chores]
    try:
        yield
    finally:
        stopping.set()
        _, late = await asyncio.wait(tasks, timeout=_FINISH_S)
        for task in late:
            _log.warning("chore_cut_off", chore=task.get_name())
            task.cancel()


async def _repeat(chore: Chore, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        try:
            await chore.work()
        except Exception:  # noqa: BLE001 - Whatever it is, the next turn may go well; it is logged.
            _log.warning("chore_failed", chore=chore.name, exc_info=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), chore.every_s)
