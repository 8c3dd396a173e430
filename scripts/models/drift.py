"""How far apart two versions' counted latencies and scores lie, and how far they would by chance. Pure arithmetic."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from bentos.contract import LATENCY_BOUNDS_S

_BY_CHANCE: Final = 0.001
"""How often the scores of two equal versions may look this far apart before they are called different."""
_NORMAL_QUANTILE: Final = 3.0902
"""Of the standard normal distribution at 1 - 0.001."""
_SMOOTHING: Final = 0.5


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
