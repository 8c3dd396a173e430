"""Stops work that nobody waits for any more."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from bentos.http.calls import ClientGoneError

T = TypeVar("T")


async def unless_hung_up(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Do the work; if the caller hangs up before it is done, cancel it.

    The body must have been read, so that `receive` waits for the end of the connection.

    Raises:
        ClientGoneError: The caller hung up.
    """
    working = asyncio.current_task()
    assert working is not None  # noqa: S101  # A coroutine runs in a task.
    done = gone = False

    def stop(_: asyncio.Task[None]) -> None:
        nonlocal gone
        if not done:
            gone = True
            working.cancel()

    watcher = asyncio.create_task(_hangup(receive))
    watcher.add_done_callback(stop)
    try:
        return await work
    except asyncio.CancelledError:
        # Somebody else, such as the server's shutdown, may have cancelled as well: that must not be swallowed.
        if gone and working.uncancel() == 0:
            raise ClientGoneError from None
        raise
    finally:
        done = True
        watcher.cancel()


async def _hangup(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
