"""The one connection of this process on which Postgres announces the events of jobs, opened again when it is lost."""

import asyncio
import random
from collections.abc import Callable
from typing import Final

import psycopg
import structlog

from gateway.db.engine import CONNECTING

CHANNEL: Final = "job_events"
APPLICATION: Final = "bonafide-events"
_QUIET_S: Final = 30.0
"""After so long without news the connection is asked whether it still stands."""
_ANSWER_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0

_log = structlog.stdlib.get_logger(__name__)


async def listen(conninfo: str, on_notice: Callable[[str], None], on_connected: Callable[[], None]) -> None:
    """Listen until cancelled. `on_connected` is called whenever notices may have been missed before."""
    pause = _FIRST_PAUSE_S
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                conninfo, autocommit=True, application_name=APPLICATION, **CONNECTING
            ) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                pause = _FIRST_PAUSE_S
                on_connected()
                while True:
                    async for notice in connection.notifies(timeout=_QUIET_S):
                        on_notice(notice.payload)
                    async with asyncio.timeout(_ANSWER_S):
                        await connection.execute("SELECT 1")
        except (psycopg.Error, OSError) as error:
            # A time-out is an OSError, too.
            _log.warning("listening_broke_off", reason=str(error) or type(error).__name__)
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - Spread out, not secret.
        pause = min(pause * 2, _LONGEST_PAUSE_S)
