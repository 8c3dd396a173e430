"""The watchdog of the worker: one that hangs ends nothing and begins nothing, and no exit tells of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psycopg

from gateway.queue.heartbeat import FRESH_S, is_beating

_LOOK_S: Final = 5.0
_MOST_SILENT: Final = 3
"""Looks in a row without a heartbeat before the worker is started anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartWatch:
    """What to watch: the database where the worker beats, its process while it is ready, how to start it anew."""

    conninfo: str
    pid: Callable[[], int | None]
    restart: Callable[[], None]
    tell: Callable[[str], None]
    fresh_s: int = FRESH_S
    look_s: float = _LOOK_S


async def watch_worker(watch: HeartWatch) -> None:
    """Watch until cancelled. What the database's own absence does to the worker is none of its faults."""
    silent = 0
    while True:
        await asyncio.sleep(watch.look_s)
        if watch.pid() is None:
            silent = 0  # Its end is noticed elsewhere.
            continue
        try:
            beating = await is_beating(watch.conninfo, fresh_s=watch.fresh_s)
        except psycopg.Error:
            silent = 0
            continue
        silent = 0 if beating else silent + 1
        if silent >= _MOST_SILENT:
            watch.tell("The worker hangs and is started anew.")
            watch.restart()
            silent = 0
