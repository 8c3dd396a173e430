"""What each version of a model answered and failed at since the process started, counted as its calls end.

The counts of a version are dropped once the traffic table does not name it any more and its last call is over, so
that there are never more of them than the table has versions, however many come and go.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from bentos.contract import LATENCY_BOUNDS_S, SCORE_BINS, Figures, Part, ShadowFigures, VersionFigures
from bentos.errors import BrokenModelError, DeadlineExceededError, DetectionError, InferenceUnavailableError
from bentos.laps import Laps

TO_BLAME: Final = (BrokenModelError, InferenceUnavailableError)
"""Errors of a call that the version or the inference server is to blame for, and not the medium or the caller."""

Version = tuple[str, int]


@dataclass(slots=True)
class ShadowCounts:
    """How the answers of a version compared with those that callers got; see `ShadowFigures`."""

    compared: int = 0
    disagreed: int = 0
    difference: float = 0.0
    dropped: int = 0
    failed: int = 0


@dataclass(slots=True)
class Outcome:
    """What came of a call: its score in [0, 1]."""

    p_fake: float = 0.0


@dataclass(slots=True, kw_only=True)
class Tally:
    """The counts of one version in one part; see `VersionFigures`."""

    model: str
    version: int
    part: Part
    answered: int = 0
    errors: int = 0
    in_flight: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))
    latency_sum_s: float = 0.0
    scores: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)
    shadow: ShadowCounts = field(default_factory=ShadowCounts)

    def answer(self, p_fake: float, inference_s: float) -> None:
        """Count a call that got this score, in [0, 1], and spent so many seconds on inference."""
        self.answered += 1
        self.latency[bisect_left(LATENCY_BOUNDS_S, inference_s)] += 1
        self.latency_sum_s += inference_s
        self.scores[min(int(p_fake * SCORE_BINS), SCORE_BINS - 1)] += 1

    @contextmanager
    def counting(self, laps: Laps) -> Generator["Outcome"]:
        """Count a block that gives a score: it sets `p_fake` of what it gets, or raises, and is in flight meanwhile."""
        outcome = Outcome()
        with self.holding():
            try:
                yield outcome
            except Exception as error:
                self.fail(error, laps)
                raise
            self.answer(outcome.p_fake, laps.inference_ms / 1000)

    def fail(self, error: Exception, laps: Laps) -> None:
        """Count a call that ended with this error, if the version or the inference server is to blame for it.

        A deadline that passed while the server was asked counts, and so does what nobody has foreseen.
        """
        late = isinstance(error, DeadlineExceededError) and laps.late_inference
        if late or isinstance(error, TO_BLAME) or not isinstance(error, DetectionError):
            self.errors += 1

    @contextmanager
    def holding(self) -> Generator[None]:
        """Count a call as in flight for the length of a block."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    @property
    def touched(self) -> bool:
        """Whether anything was ever counted."""
        counts = self.shadow
        return bool(self.answered or self.errors or self.in_flight or counts.dropped or counts.failed)

    def figures(self) -> VersionFigures:
        """The counts as the wire has them."""
        shadow = None
        if self.part == "shadow":
            counts = self.shadow
            shadow = ShadowFigures(
                compared=counts.compared,
                disagreed=counts.disagreed,
                difference=counts.difference,
                dropped=counts.dropped,
                failed=counts.failed,
            )
        return VersionFigures(
            model=self.model,
            version=self.version,
            part=self.part,
            answered=self.answered,
            errors=self.errors,
            in_flight=self.in_flight,
            latency=tuple(self.latency),
            latency_sum_s=self.latency_sum_s,
            scores=tuple(self.scores),
            shadow=shadow,
        )


class Book:
    """The tallies of a Bento. `named` says which versions the traffic table names right now."""

    def __init__(self, named: Callable[[], Collection[Version]]) -> None:
        self._named = named
        self._started = time.time()
        self._tallies: dict[tuple[str, int, Part], Tally] = {}

    def tally(self, model: str, version: int, part: Part) -> Tally:
        """Return where calls of this version in this part are counted; enter it before anything is awaited."""
        key = (model, version, part)
        tally = self._tallies.get(key)
        if tally is None:
            self._forget()
            tally = self._tallies[key] = Tally(model=model, version=version, part=part)
        return tally

    def figures(self) -> Figures:
        """What was counted so far, of versions that the traffic table names or that still have calls."""
        self._forget()
        touched = (tally for tally in self._tallies.values() if tally.touched)
        return Figures(started=self._started, versions=tuple(tally.figures() for tally in touched))

    def _forget(self) -> None:
        named = self._named()
        for (model, version, part), tally in tuple(self._tallies.items()):
            if not tally.in_flight and (model, version) not in named:
                del self._tallies[model, version, part]
