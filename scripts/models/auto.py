"""A roll-out that goes step by step by itself, and back by itself when the new version passes a bound.

At each step a share of the callers is answered by the canary for a while; then its counts are held against the stable
version's, those of each Bento that it serves apart. Errors are looked at all the time, for they hurt callers; the
spread of scores and the times only at the end of a step, for whoever looks often enough at chance finds something.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from bentos.cards import Canary, Route
from bentos.contract import Modality
from scripts.models import history
from scripts.models.errors import RefusedError
from scripts.models.following import ask_bentos
from scripts.models.judging import Bounds, Counts, Ledger, Measured, breach, counts_of, measure, too_many_errors
from scripts.models.repository import Repository
from scripts.models.rollout import DRAIN_DEADLINE_S, Change, Wish, point, point_back
from scripts.models.serving import Platform
from scripts.models.steps import Step, busiest
from scripts.models.traffic import LAST_STEP_PERCENT, promoted, rolled_back, with_canary

_POLL_S: Final = 1.0

End = Literal["promoted", "rolled_back", "starved", "overtaken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The shares in percent, one after the other; how long each is held, in seconds, and how many calls it needs.

    It needs that many at one of the Bentos that the version serves. A step with too few is held on for at most
    `patience_s` in all.
    """

    steps: tuple[float, ...] = (1.0, 5.0, 25.0, 100.0)
    hold_s: float = 600.0
    min_calls: int = 100
    patience_s: float = 86_400.0
    bounds: Bounds = field(default_factory=Bounds)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a roll-out ended: `why` in a sentence, the steps that it took, and the last change of the route.

    `starved`: too few calls came, and it stands where it stood; `overtaken`: somebody else has changed the route.
    """

    end: End
    why: str
    steps: tuple[Step, ...]
    change: Change | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """How a step ended."""

    end: Literal["kept", "broken", "starved", "overtaken"]
    measured: Mapping[Modality, Measured]
    seconds: float
    why: str = ""


class AutoRollout:
    """One roll-out of a version; `tell` gets a line for what happens, `at` is the share that it stands at."""

    def __init__(
        self,
        repository: Repository,
        platform: Platform,
        model: str,
        version: int,
        plan: Plan,
        *,
        tell: Callable[[str], None],
        reason: str = "",
        drain_s: float = DRAIN_DEADLINE_S,
    ) -> None:
        self._repository = repository
        self._platform = platform
        self._model = model
        self._version = version
        self._plan = plan
        self._tell = tell
        self._reason = reason
        self._drain_s = drain_s
        self._ledger = Ledger(model, version, {}, since=0)

    @property
    def at(self) -> float | None:
        """The share that our version has as a canary, as the table says; None where it has none."""
        route = self._repository.route(self._model)
        canary = route.canary if route else None
        return canary.percent if canary and canary.version == self._version else None

    async def run(self) -> Outcome:
        """Go through the steps, and promote at the end or go back. Raises what `point` does; it stands at `at` then."""
        steps: list[Step] = []
        since = time.time()
        self._ledger = Ledger(self._model, self._version, (await ask_bentos(self._platform)).figures, since=since)
        change: Change | None = None
        for percent in self._plan.steps:
            change = await self._stand_at(percent)
            verdict = await self._hold(percent)
            steps.append(Step.of(percent, verdict.seconds, verdict.measured))
            self._tell(steps[-1].in_words())
            if verdict.end == "broken":
                change = await self.go_back(verdict.why)
                return Outcome(end="rolled_back", why=verdict.why, steps=tuple(steps), change=change)
            if verdict.end != "kept":
                return Outcome(end=verdict.end, why=verdict.why, steps=tuple(steps), change=change)
        why = "Every bound was kept at every step."
        wish = self._wish("promote", self._version, lambda route: promoted(self._model, self._ours(route), None), why)
        change = await point(self._repository, self._platform, wish)
        return Outcome(end="promoted", why=why, steps=tuple(steps), change=change)

    async def go_back(self, why: str) -> Change:
        """Give the canary no more traffic. Raises `RefusedError` where it has none any more."""
        route = self._repository.route(self._model)
        wish = self._wish(
            "rollback",
            route.stable if route else self._version,
            lambda route: rolled_back(self._model, self._ours(route)),
            why,
        )
        return await point_back(self._repository, self._platform, wish)

    async def _stand_at(self, percent: float) -> Change:
        wish = self._wish(
            "rollout",
            self._version,
            lambda route: with_canary(self._model, route, self._version, percent),
            f"step to {percent:g} %",
        )
        change = await point(self._repository, self._platform, wish)
        self._tell(f"{self._model}:{self._version} gets {percent:g} % of the callers.")
        for note in change.settled.notes:
            self._tell(note)
        return change

    async def _hold(self, percent: float) -> _Verdict:
        """Watch one step until it is judged."""
        plan = self._plan
        began = time.monotonic()
        await self._count(self._repository.route(self._model))
        self._ledger.canary.clear()
        while True:
            await asyncio.sleep(min(_POLL_S, plan.hold_s))
            passed = time.monotonic() - began
            route = self._repository.route(self._model)
            stable = await self._count(route)
            measured = {
                modality: measure(canary, stable[modality], min_calls=plan.min_calls)
                for modality, canary in self._ledger.canary.items()
            }
            if route is None or route.canary != Canary(version=self._version, percent=percent):
                why = f"Somebody else has changed the traffic of {self._model}; it is left as it is."
                return _Verdict(end="overtaken", measured=measured, seconds=passed, why=why)
            enough = passed >= plan.hold_s and any(map(self._judged, measured.values()))
            broken = self._broken(measured, breach if enough else too_many_errors)
            if broken:
                return _Verdict(end="broken", measured=measured, seconds=passed, why=f"At {percent:g} %, {broken}.")
            if enough:
                return _Verdict(end="kept", measured=measured, seconds=passed)
            if passed >= max(plan.patience_s, plan.hold_s):
                why = self._starved(measured, percent)
                return _Verdict(end="starved", measured=measured, seconds=passed, why=why)

    def _judged(self, measured: Measured) -> bool:
        return measured.compared if self._plan.bounds.compare else measured.canary.calls >= self._plan.min_calls

    def _broken(self, measured: Mapping[Modality, Measured], look: Callable[..., str | None]) -> str | None:
        """Say what `look` finds first, and at which Bento where there are several."""
        served = {modality: each for modality, each in measured.items() if each.canary.calls}
        for modality, each in served.items():
            found = look(each, self._plan.bounds, min_calls=self._plan.min_calls)
            if found:
                return f"in {modality} calls, {found}" if len(served) > 1 else found
        return None

    def _starved(self, measured: Mapping[Modality, Measured], percent: float) -> str:
        most = busiest(measured)
        canary, stable = most.canary, most.stable
        beside = f" beside {stable.answered} of the stable version" if self._plan.bounds.compare else ""
        fewer = min(canary.answered, stable.answered) if self._plan.bounds.compare else canary.calls
        steps = f"{percent:g},{LAST_STEP_PERCENT:g}" if percent < LAST_STEP_PERCENT else f"{percent:g}"
        return (
            f"Only {canary.calls} calls came at {percent:g} %{beside}, and {self._plan.min_calls} that are answered "
            f"are needed to judge; it stays at that share. Go on with fewer: bonafide models rollout {self._model} "
            f"{self._version} --auto --steps {steps} --min-calls {max(fewer, 1)}."
        )

    async def _count(self, route: Route | None) -> dict[Modality, Counts]:
        """Ask the Bentos; return each one's counts of the stable version since the roll-out began.

        Where those are too few, they are those since the Bento began.
        """
        number = route.stable if route else 0
        now = (await ask_bentos(self._platform)).figures
        self._ledger.add(now, number)
        found = dict(self._ledger.stable)
        for modality, figures in now.items():
            recent = found.get(modality, Counts())
            if recent.answered < self._plan.min_calls:
                since_start = counts_of(None, figures, self._model, number)
                found[modality] = max(recent, since_start, key=lambda counts: counts.answered)
        return found

    def _ours(self, route: Route | None) -> Route:
        """The route, where our version is its canary: nobody else's change is to be taken back."""
        if route is None or route.canary is None or route.canary.version != self._version:
            raise RefusedError(f"Version {self._version} of {self._model} is not being rolled out any more.")
        return route

    def _wish(self, action: history.Action, version: int, route: Callable[[Route | None], Route], why: str) -> Wish:
        reason = f"{self._reason}: {why}" if self._reason else why
        return Wish(
            action=action,
            model=self._model,
            version=version,
            route=route,
            reason=reason,
            drain_s=self._drain_s,
            details={"auto": True},
        )
