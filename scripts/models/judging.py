"""Whether a canary may go on: its counts held against those of the stable version. Pure arithmetic.

Counts are those that the Bentos keep by version (`bentos.contract.figures`), over the same stretch of time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Self

from bentos.contract import LATENCY_BOUNDS_S, SCORE_BINS, Figures, Modality

_BY_CHANCE: Final = 0.001
"""How often the scores of two equal versions may look this far apart before they are called different."""
_NORMAL_QUANTILE: Final = 3.0902
"""Of the standard normal distribution at 1 - 0.001."""
_SMOOTHING: Final = 0.5
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
        self.canary = Counts()
        self.stable = Counts()

    def add(self, now: Mapping[Modality, Figures], stable: int) -> None:
        """Add what was counted since the last answers; `stable` is the number of the stable version.

        Of a Bento that was running at the beginning and answers for the first time, nothing is known before that.
        """
        told = {kind: each for kind, each in now.items() if kind in self._last or each.started >= self._since}
        self.canary += counts_of(self._last, told, self._model, self._number)
        self.stable += counts_of(self._last, told, self._model, stable)
        self._last.update(now)


def counts_of(before: Mapping[Modality, Figures], now: Mapping[Modality, Figures], model: str, version: int) -> Counts:
    """Return what was counted of a version between two answers of the Bentos, other than as a shadow.

    A Bento that was started anew in between counts from its start.
    """
    found = Counts()
    for modality, figures in now.items():
        earlier = before.get(modality)
        found += _total(figures, model, version)
        if earlier is not None and earlier.started == figures.started:
            found -= _at_most(_total(earlier, model, version), _total(figures, model, version))
    return found


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


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Return the `share` quantile in seconds of latencies counted by `LATENCY_BOUNDS_S`; None of no calls.

    Within a bucket values are taken as evenly spread, as the `histogram_quantile` of Prometheus does; what lies in
    the last, open bucket counts as its lower bound.
    """
    total = sum(counts)
    if not total:
        return None
    rank, seen = share * total, 0
    for index, count in enumerate(counts):
        if count and seen + count >= rank:
            if index == len(LATENCY_BOUNDS_S):
                break
            low = LATENCY_BOUNDS_S[index - 1] if index else 0.0
            return low + (LATENCY_BOUNDS_S[index] - low) * (rank - seen) / count
        seen += count
    return LATENCY_BOUNDS_S[-1]


def psi(expected: Sequence[int], actual: Sequence[int]) -> float:
    """Return the population stability index of two histograms over the same bins, ≥ 0; 0 where they are alike.

    The sum over bins of (a - e) · ln(a / e), of the shares a and e (Siddiqi, 2006, "Credit Risk Scorecards"; up to 0.1
    is read as no change, above 0.25 as a large one). Half a call is added to each bin, so that an empty one counts as
    rare and not as impossible.
    """
    e, a = (_shares(counts) for counts in (expected, actual))
    return sum((x - y) * math.log(x / y) for x, y in zip(a, e, strict=True))


def psi_by_chance(n: int, m: int, bins: int) -> float:
    """Return what the index of two samples of one distribution, of `n` and `m` calls, exceeds once in a thousand times.

    PSI / (1/n + 1/m) is then distributed as χ² with bins - 1 degrees of freedom (Yurdakul and Naranjo, 2020,
    "Statistical properties of the population stability index"); its quantile is that of Wilson and Hilferty, 1931.
    """
    freedom = bins - 1
    spread = 2 / (9 * freedom)
    chi_squared = freedom * (1 - spread + _NORMAL_QUANTILE * math.sqrt(spread)) ** 3
    return (1 / n + 1 / m) * chi_squared


def ks(expected: Sequence[int], actual: Sequence[int]) -> float:
    """Return the largest difference of two cumulative histograms over the same bins, in [0, 1]."""
    totals = sum(expected), sum(actual)
    if not all(totals):
        return 0.0
    sums = zip(accumulate(expected), accumulate(actual), strict=True)
    return max(abs(e / totals[0] - a / totals[1]) for e, a in sums)


def ks_by_chance(n: int, m: int) -> float:
    """Return what the distance of two samples of one distribution, of `n` and `m` calls, exceeds once in a thousand.

    Smirnov's approximation for large samples, at a = 0.001: sqrt(-ln(a / 2) / 2) · sqrt((n + m) / (n · m)) (Smirnov,
    1948, "Table for estimating the goodness of fit of empirical distributions"); bins make the true share smaller.
    """
    return math.sqrt(-math.log(_BY_CHANCE / 2) / 2) * math.sqrt((n + m) / (n * m))


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) + _SMOOTHING * len(counts)
    return [(count + _SMOOTHING) / total for count in counts]


def _total(figures: Figures, model: str, version: int) -> Counts:
    found = Counts()
    for each in figures.versions:
        if (each.model, each.version) == (model, version) and each.part != "shadow":
            found += Counts(answered=each.answered, errors=each.errors, latency=each.latency, scores=each.scores)
    return found


def _at_most(earlier: Counts, now: Counts) -> Counts:
    """Earlier counts, or none of them where a version was forgotten in between and is counted anew."""
    return earlier if earlier.answered <= now.answered and earlier.errors <= now.errors else Counts()
