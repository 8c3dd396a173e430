"""What is made of the trials of a search for settings: medians, ranks, and whether a change is worth it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from bentos.cards import Card
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.pressing import Pressed
from scripts.models.tuning import Tuning

WORTHWHILE: Final = 1.05
"""How much faster a setting must be than what is there to be written; less is noise."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One setting under load: answers a second, percentiles in ms, failed calls; `final` are the rounds of the best."""

    version: int
    precision: str
    tuning: Tuning
    throughput: float
    p50_ms: float
    p95_ms: float
    failed: int
    final: bool
    within: bool


class Optimised(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried, what is best for the version (None: nothing beats what is there), and the fastest version of all.

    `complete` is false where the time was up, or Ctrl-C came, before everything was tried.
    """

    model: str
    version: int
    p95_ms: float
    callers: int
    before: Trial
    best: Trial | None
    fastest: Trial
    trials: tuple[Trial, ...]
    complete: bool
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which version is to be run under which limit, by how many callers, and how long may be spent on finding out."""

    model: str
    version: int
    p95_ms: float
    callers: int = 8
    budget_s: float = 120.0
    data: Path | None = None


def conclude(wish: Wish, trials: Sequence[Trial], *, complete: bool) -> Optimised:
    """Choose among the trials of a version, of which the first is how it is run now.

    Raises:
        RefusedError: None keeps the limit.
        ModelsError: There are none.
    """
    if not trials:
        raise ModelsError("Nothing was tried before it was stopped; give it more time with --budget.")
    found = {number: _medians(trials, number) for number in dict.fromkeys(each.version for each in trials)}
    mine = found[wish.version]
    before, best = mine[0], max(mine, key=rank)
    fastest = max((each for some in found.values() for each in some), key=rank)
    if not best.within:
        quickest = min((each for each in trials if each.version == wish.version), key=lambda one: one.p95_ms)
        raise RefusedError(
            f"No setting keeps p95 under {wish.p95_ms:g} ms with {wish.callers} callers; the quickest, "
            f"{quickest.tuning}, had {quickest.p95_ms:.0f} ms. Allow more with --p95-ms, ask with fewer --callers, "
            "or stage an int8 version with `bonafide models quantise`."
        )
    gains = not before.within or best.throughput >= WORTHWHILE * before.throughput
    return Optimised(
        model=wish.model,
        version=wish.version,
        p95_ms=wish.p95_ms,
        callers=wish.callers,
        before=before,
        best=best if gains and best.tuning != before.tuning else None,
        fastest=fastest,
        trials=tuple(trials),
        complete=complete,
    )


def rank(trial: Trial) -> tuple[bool, float, float]:
    """Within the limit before beyond it; there the more throughput the better, beyond it the lower the p95."""
    return (trial.within, trial.throughput if trial.within else -trial.p95_ms, -trial.p95_ms)


def _medians(trials: Sequence[Trial], version: int) -> list[Trial]:
    """The settings of a version that came into the finals, what was there first; without finals all that were tried."""
    mine = [trial for trial in trials if trial.version == version]
    finals: dict[Tuning, list[Trial]] = {}
    for trial in [each for each in mine if each.final] or mine:
        finals.setdefault(trial.tuning, []).append(trial)
    return [
        msgspec.structs.replace(
            rounds[0],
            throughput=float(np.median([each.throughput for each in rounds])),
            p50_ms=float(np.median([each.p50_ms for each in rounds])),
            p95_ms=float(np.median([each.p95_ms for each in rounds])),
            failed=sum(each.failed for each in rounds),
            within=2 * sum(each.within for each in rounds) > len(rounds),
        )
        for rounds in finals.values()
    ]


def trial_of(card: Card, tuning: Tuning, pressed: Pressed, *, limit_ms: float, final: bool) -> Trial:
    """Return what load on a version that is run so came to."""
    p50_ms, p95_ms = pressed.percentile_ms(50), pressed.percentile_ms(95)
    return Trial(
        version=card.version,
        precision=card.precision,
        tuning=tuning,
        throughput=round(pressed.throughput, 2),
        p50_ms=round(p50_ms, 2),
        p95_ms=round(p95_ms, 2),
        failed=pressed.failed,
        final=final,
        within=p95_ms <= limit_ms and bool(pressed.latencies_s) and not pressed.failed,
    )
