"""Listening and reading for as long as the process serves, and the end of all streams when it is told to stop.

The server waits for open connections before it lets the application stop, so the streams have to end when the signal
comes. Its own handler is asked by the other signal that it takes for the same wish.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from gateway.live.hub import Hub
from gateway.live.listening import listen

_GOOD_BYE_S: Final = 2.0
"""How long the server is kept from stopping while streams end."""
_LOOK_S: Final = 0.05


@asynccontextmanager
async def listening(hub: Hub, conninfo: str) -> AsyncGenerator[None]:
    """Let the hub hear of events as long as the context lasts, and end its streams with it."""
    _end_streams_first(hub)
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


def _end_streams_first(hub: Hub) -> None:
    """Have the streams end when this process is asked to, before its server hears of it.

    Nothing is changed where no server handles SIGTERM, as in a test.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) in {signal.SIG_DFL, signal.SIG_IGN, None}:
        return

    loop = asyncio.get_running_loop()

    def hand_on(until: float) -> None:
        # The server waits for answers that are being sent, but cuts WebSockets off before they could say good-bye.
        if hub.streams and loop.time() < until:
            loop.call_later(_LOOK_S, hand_on, until)
        else:
            loop.call_later(_LOOK_S, signal.raise_signal, signal.SIGINT)

    def end() -> None:
        hub.stop()
        hand_on(loop.time() + _GOOD_BYE_S)

    loop.add_signal_handler(signal.SIGTERM, end)
