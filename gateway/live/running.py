"""Listening and reading for as long as the process serves, and the end of all streams when it is told to stop.

The server waits for open connections before it lets the application stop, so the streams have to end when the signal
comes. Its own handler is asked by the other signal that it takes for the same wish.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

from gateway.live.hub import Hub
from gateway.live.listening import listen


@asynccontextmanager
async def listening(hub: Hub, conninfo: str) -> AsyncGenerator[None]:
    """Let the hub hear of events as long as the context lasts, and end its streams with it."""
    _call_at_the_end(hub.stop)
    tasks = [
        asyncio.create_task(hub.read_on(), name="read events of jobs"),
        asyncio.create_task(listen(conninfo, hub.take_notice, hub.look_everywhere), name="listen for events of jobs"),
    ]
    try:
        yield
    finally:
        hub.stop()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


def _call_at_the_end(stop: Callable[[], None]) -> None:
    """Have `stop` called when this process is asked to end, before its server hears of it.

    Nothing is changed where no server handles SIGTERM, as in a test.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) in {signal.SIG_DFL, signal.SIG_IGN, None}:
        return

    def end() -> None:
        stop()
        signal.raise_signal(signal.SIGINT)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
