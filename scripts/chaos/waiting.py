"""Waiting for what happens in another process: asked again and again, with a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

LOOK_S: Final = 0.02


async def until(look: Callable[[], Awaitable[Any]], *, within_s: float) -> bool:
    """Wait until a look finds something, which may be no more than true; false where it does not in time."""
    deadline = time.monotonic() + within_s
    while not await look():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_S)
    return True
