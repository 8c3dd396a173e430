"""Whether a canary may go on: its counts held against those of the stable version. Pure arithmetic.

Counts are those that a Bento keeps by version (`bentos.contract.figures`), over the same stretch of time. Each Bento is
judged apart: media of different kinds take other times and get other scores, and traffic mixes them otherwise each day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from bentos.contract import LATENCY_BOUNDS_S, SCORE_BINS, Figures, Modality
from scripts.models.drift import ks, ks_by_chance, psi, psi_by_chance, quantile

_P95: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Calls of one version: answered and failed, seconds of inference by bucket, scores by bin."""

    answered: int = 0
    errors: int = 0
    latency: tuple[int, ...] = (0,) * (len(LATENCY_BOUNDS_S) + 1)
    scores: tuple[int, ...] = (0,) * SCORE_BINS

    @property
    def calls(self) -> int:
        """Every call that ended."""
        return self.answered + self.errors

    def __add__(self, other: Self) -> "Counts":
        return self._with(other, 1)

    def __sub__(self, other: Self) -> "Counts":
        return self._with(other, -1)

    def _with(self, other: Self, sign: int) -> "Counts":
        return Counts(
            answered=self.answered + sign * other.answered,
            errors=self.errors + sign * other.errors,
            latency=tuple(a + sign * b for a, b in zip(self.latency, other.latency, strict=True)),
            scores=tuple(a + sign * b for a, b in zip(self.scores, other.scores, strict=True)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a canary must keep to; None: it is not looked at.

    `errors` is the largest share of its calls that may fail, in [0, 1]; `p95_ratio` how many times the stable
    version's 95th percentile of inference seconds its own may be; `psi` and `ks` how far the distribution of its scores
    may be from the stable version's.
    """

    errors: float = 0.01
    p95_ratio: float | None = 1.5
    psi: float | None = 0.25
    ks: float | None = None

    @property
    def compare(self) -> bool:
        """Whether something is held against the stable version."""
        return (self.p95_ratio, self.psi, self.ks) != (None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a canary showed beside the stable version. None: there were too few calls of one of them to say.

    `psi_by_chance` and `ks_by_chance` are what two equal versions exceed once in a thousand times with as few calls.
    """

    canary: Counts
    stable: Counts
    p95_s: float | None = None
    stable_p95_s: float | None = None
    psi: float | None = None
    psi_by_chance: float | None = None
    ks: float | None = None
    ks_by_chance: float | None = None

    @property
    def compared(self) -> bool:
        """Whether both have answered enough calls to be compared."""
        return self.psi is not None


class Ledger:
    """Counts of a canary and of the stable version, added up from one answer of the Bentos to the next.

    So what a Bento counted before it was started anew, or before it stopped answering, is not lost: a version that
    brings its Bento down must not be judged by what came after.
    """

    def __init__(self, model: str, canary: int, first: Mapping[Modality, Figures], *, since: float) -> None:
        """Begin with the answers `first`, which count as nothing, at the Unix time `since` in seconds."""
        self._model = model
        self._number = canary
        self._last = dict(first)
        self._since = since
        self.canary: dict[Modality, Counts] = {}
        self.stable: dict[Modality, Counts] = {}

    def add(self, now: Mapping[Modality, Figures], stable: int) -> None:
        """Add what was counted since the last answers; `stable` is the number of the stable version.

        Of a Bento that was running at the beginning and answers for the first time, nothing is known before that.
        """
        for modality, figures in now.items():
            earlier = self._last.get(modality)
            if earlier is not None or figures.started >= self._since:
                for counts, version in ((self.canary, self._number), (self.stable, stable)):
                    counted = counts_of(earlier, figures, self._model, version)
                    counts[modality] = counts.get(modality, Counts()) + counted
        self._last.update(now)


def counts_of(before: Figures | None, now: Figures, model: str, version: int) -> Counts:
    """Return what a Bento counted of a version between two of its answers, other than as a shadow.

    From its start, where it gave no answer before or was started anew in between.
    """
    found = _total(now, model, version)
    if before is None or before.started != now.started:
        return found
    return found - _at_most(_total(before, model, version), found)


def measure(canary: Counts, stable: Counts, *, min_calls: int) -> Measured:
    """Compare the counts of two versions, as far as each has answered `min_calls` or more."""
    if min(canary.answered, stable.answered) < max(min_calls, 1):
        return Measured(canary=canary, stable=stable)
    return Measured(
        canary=canary,
        stable=stable,
        p95_s=quantile(canary.latency, _P95),
        stable_p95_s=quantile(stable.latency, _P95),
        psi=psi(stable.scores, canary.scores),
        psi_by_chance=psi_by_chance(stable.answered, canary.answered, len(canary.scores)),
        ks=ks(stable.scores, canary.scores),
        ks_by_chance=ks_by_chance(stable.answered, canary.answered),
    )


def too_many_errors(measured: Measured, bounds: Bounds, *, min_calls: int) -> str | None:
    """Say that a canary fails too often, as soon as no later answers can change that; else None.

    It fails too often when its errors are too many even for `min_calls` calls, all others of which were answered.
    """
    canary = measured.canary
    if canary.errors <= bounds.errors * max(canary.calls, min_calls):
        return None
    return (
        f"{canary.errors} of {canary.calls} calls failed ({canary.errors / canary.calls:.1%}); "
        f"at most {bounds.errors:.1%} may"
    )


def breach(measured: Measured, bounds: Bounds, *, min_calls: int) -> str | None:
    """Say which bound a canary has passed and by what; None where it has kept all that could be looked at."""
    failing = too_many_errors(measured, bounds, min_calls=min_calls)
    if failing:
        return failing
    if bounds.p95_ratio is not None and measured.p95_s and measured.stable_p95_s:
        ratio = measured.p95_s / measured.stable_p95_s
        if ratio > bounds.p95_ratio:
            return (
                f"95 % of its calls take up to {1000 * measured.p95_s:.0f} ms of inference, {ratio:.2f} times the "
                f"{1000 * measured.stable_p95_s:.0f} ms of the stable version; at most {bounds.p95_ratio:g} times"
            )
    for name, value, bound, chance in (
        ("population stability index", measured.psi, bounds.psi, measured.psi_by_chance),
        ("Kolmogorov-Smirnov distance", measured.ks, bounds.ks, measured.ks_by_chance),
    ):
        if value is not None and bound is not None and chance is not None and value > max(bound, chance):
            return (
                f"its scores are spread otherwise than the stable version's: {name} {value:.3f}, "
                f"at most {max(bound, chance):.3f}"
            )
    return None


def _total(figures: Figures, model: str, version: int) -> Counts:
    found = Counts()
    for each in figures.versions:
        if (each.model, each.version) == (model, version) and each.part != "shadow":
            found += Counts(answered=each.answered, errors=each.errors, latency=each.latency, scores=each.scores)
    return found


def _at_most(earlier: Counts, now: Counts) -> Counts:
    """Earlier counts, or none of them where a version was forgotten in between and is counted anew."""
    return earlier if earlier.answered <= now.answered and earlier.errors <= now.errors else Counts()
