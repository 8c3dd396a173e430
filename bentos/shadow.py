"""Asks a shadow version what callers were not told by it: after the answer is made, beside its path.

A shadow never decodes anything. It judges what the call has decoded for the version that answered, so one that needs
other crops is not asked, and neither is one of a medium so long that it is decoded piece by piece. What waits and what
runs is bounded, in number and in bytes; a call that finds no room is counted as dropped.
"""

import asyncio
import dataclasses
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import structlog

from bentos.contract import Verdict
from bentos.deadline import Deadline
from bentos.figures import Tally
from bentos.http.calls import Call, Thumbnail
from bentos.laps import Laps
from bentos.progress import Course
from bentos.verdict import Heard

MOST_WAITING: Final = 16
MOST_BYTES: Final = 64 * 1024 * 1024
"""What the calls that wait hold of decoded media, together."""
AT_ONCE: Final = 2
PATIENCE_S: Final = 30.0
"""How long a shadow may take for one call."""

_log = structlog.stdlib.get_logger(__name__)


class SealedError(Exception):
    """The call is over: nothing more of its medium is decoded."""


Hear = Callable[[str, int, Call], Awaitable[Heard]]
"""Has a version of a model judge a call."""
StillShadow = Callable[[str, int], bool]
"""Whether the traffic table still has this version of a model as its shadow."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    tally: Tally
    call: Call
    p_fake: float
    verdict: Verdict
    size: int


class Shadows:
    """The calls that shadows are still to be asked, and the tasks that ask them; started when there is something."""

    def __init__(self, hear: Hear, still: StillShadow, *, patience_s: float = PATIENCE_S) -> None:
        self._hear = hear
        self._still = still
        self._patience_s = patience_s
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(self, tally: Tally, call: Call, p_fake: float, verdict: Verdict) -> None:
        """Have the version of `tally` judge what was decoded for `call`, whose answer is made; never waits or raises.

        Its calls are in flight from now on, so that it is not unloaded before its turn.
        """
        sealed = _seal(call)
        size = _bytes_of(sealed.prepared)
        if len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_BYTES:
            tally.shadow.dropped += 1
            return
        tally.in_flight += 1
        self._bytes += size
        self._waiting.append(_Waiting(tally, sealed, p_fake, verdict, size))
        # One that has ended just now takes nothing more, although it is still among them.
        if sum(not task.done() for task in self._tasks) < AT_ONCE:
            task = asyncio.create_task(self._work(), name="shadow")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until nothing waits or runs."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self) -> None:
        """Stop asking; what waits is dropped."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        while self._waiting:
            self._drop(self._waiting.popleft())

    async def _work(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            self._bytes -= waiting.size
            try:
                await self._ask(waiting)
            finally:
                waiting.tally.in_flight -= 1

    async def _ask(self, waiting: _Waiting) -> None:
        tally = waiting.tally
        if not self._still(tally.model, tally.version):
            tally.shadow.dropped += 1
            return
        call = dataclasses.replace(waiting.call, deadline=Deadline.after(self._patience_s))
        try:
            async with asyncio.timeout(self._patience_s):
                heard = await self._hear(tally.model, tally.version, call)
        except SealedError:
            tally.shadow.dropped += 1
        except Exception as error:  # noqa: BLE001  # Nobody waits for it, and nothing of it may reach a caller.
            _log.warning("shadow failed", model=tally.model, version=tally.version, error=repr(error))
            tally.shadow.failed += 1
            tally.fail(error, call.laps)
        else:
            counts = tally.shadow
            tally.answer(heard.finding.p_fake, call.laps.inference_ms / 1000)
            counts.compared += 1
            counts.difference += abs(heard.finding.p_fake - waiting.p_fake)
            counts.disagreed += heard.verdict is not waiting.verdict

    def _drop(self, waiting: _Waiting) -> None:
        self._bytes -= waiting.size
        waiting.tally.shadow.dropped += 1
        waiting.tally.in_flight -= 1


def _seal(call: Call) -> Call:
    """Return the call with what is decoded by now and nothing else: no medium, no course, no thumbnail to be made.

    What is still being decoded is left out, because another model of an ensemble may be waiting for it.
    """
    return dataclasses.replace(
        call,
        medium=b"",
        laps=Laps(),
        thumbnail=Thumbnail(wanted=call.thumbnail.wanted),
        course=Course(),
        prepared={key: decoding for key, decoding in call.prepared.items() if _is_over(decoding)},
        sealed=True,
    )


def _is_over(decoding: asyncio.Future[Any]) -> bool:
    return decoding.done() and not decoding.cancelled()


def _bytes_of(prepared: Mapping[Hashable, asyncio.Future[Any]]) -> int:
    """Return how many bytes the arrays in what was decoded hold."""
    total = 0
    for decoding in prepared.values():
        if decoding.exception() is not None:
            continue
        result = decoding.result()
        values = (getattr(result, part.name) for part in dataclasses.fields(result))
        total += sum(value.nbytes for value in values if isinstance(value, np.ndarray))
    return total
