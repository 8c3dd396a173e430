"""One reader of a job's events: what is ready for it, and where it stands."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final
from uuid import UUID

from gateway.live.events import JobEvent

MOST_WAITING: Final = 64
"""Events that wait for one reader. A slower one catches up from the table, so that it costs no memory."""


class Ending(StrEnum):
    """Why a stream ends before its job does."""

    GONE = "gone"
    """The client hung up."""
    STOPPING = "stopping"
    """This process is told to stop; another one goes on."""
    REFUSED = "refused"
    """The caller may not follow this job any more."""
    INVALID = "invalid"
    """The client said something that makes no sense."""


class Subscription:
    """What waits for one reader.

    `last` is the place of the last event that was put before it, `behind` whether there is more than it has room for,
    and `ended` why there will be nothing more.
    """

    def __init__(self, job_id: UUID, after: int, ask: Callable[[UUID], None]) -> None:
        self.job_id = job_id
        self.last = after
        self.behind = False
        self.ended: Ending | None = None
        self._ask = ask
        self._waiting: deque[JobEvent] = deque()
        self._wake = asyncio.Event()

    def offer(self, events: Sequence[JobEvent]) -> None:
        """Put events before the reader, in the order of their places; those that it has had already are left out."""
        for event in events:
            if event.place <= self.last:
                continue
            if len(self._waiting) >= MOST_WAITING:
                self.behind = True
                break
            self._waiting.append(event)
            self.last = event.place
        if self._waiting:
            self._wake.set()

    async def next(self, within_s: float) -> JobEvent | None:
        """The next event; None where there is none within `within_s` seconds, or the stream has `ended`."""
        try:
            async with asyncio.timeout(within_s):
                # What was offered may be what this reader has had already.
                while not self._waiting and self.ended is None:
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            return None
        if self.ended is not None:
            return None
        event = self._waiting.popleft()
        if self.behind and not self._waiting:
            self.behind = False
            self._ask(self.job_id)
        return event

    def rewind(self, after: int) -> None:
        """Go on after another event, which may be an earlier or a later one."""
        self._waiting.clear()
        self.last = after
        self.behind = False
        self._ask(self.job_id)

    def end(self, why: Ending) -> None:
        """Let the reader find that there is nothing more; the first reason counts."""
        self.ended = self.ended or why
        self._wake.set()
