"""How far a call is: whoever judges its medium writes it here, and who answers the call reads it in lines."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

from bentos.contract import Progress, ProgressUnit, StretchScore


class Course:
    """The course of one call. `wanted`: whether anybody reads it; scores are kept for the next line only then."""

    def __init__(self, *, wanted: bool = False, unit: ProgressUnit = "frames") -> None:
        self.wanted = wanted
        self._unit: ProgressUnit = unit
        self._started = time.monotonic()
        self._begun = self._started
        self._done = self._total = 0.0
        self._scores: list[StretchScore] = []
        self._news = asyncio.Event()

    def begin(self, total: float) -> None:
        """Say how much there is to do, in the unit of the call."""
        self._begun, self._total = time.monotonic(), total
        self._news.set()

    def advance(self, done: float, scores: Sequence[StretchScore]) -> None:
        """Say how much is done by now, of what `begin` said, and what came of the newest part."""
        self._done = min(done, self._total)
        if self.wanted:
            self._scores.extend(scores)
        self._news.set()

    async def news(self, patience_s: float) -> None:
        """Wait until there is something that no line has told, and no longer than so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._news.wait()

    @property
    def untold(self) -> bool:
        """Whether there are scores that no line had."""
        return bool(self._scores)

    def line(self) -> Progress:
        """Say how far it is, with the scores that no line before had."""
        now = time.monotonic()
        scores, self._scores = tuple(self._scores), []
        self._news.clear()
        left = (now - self._begun) / self._done * (self._total - self._done) if self._done else None
        return Progress(
            done=round(self._done, 3),
            total=round(self._total, 3),
            unit=self._unit,
            elapsed_s=round(now - self._started, 3),
            remaining_s=None if left is None else round(left, 1),
            scores=scores,
        )
