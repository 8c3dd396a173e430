"""Figures of one version on a labelled set, with intervals, and how they differ between slices. Pure functions.

Throughout, `p_fake` is [n] in [0, 1] and `fake` is [n] of booleans, true where the medium is synthetic.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.contract import Thresholds, Verdict
from scripts.models.metrics import accuracy, brier, calibration_error, equal_error_rate, roc_auc

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1000
SEED: Final = 20_26

_MOST_DRAWS: Final = 20_000_000
_FEWEST_RESAMPLES: Final = 200
METHOD: Final = "percentile bootstrap, each class resampled on its own (Efron & Tibshirani, 1993)"

Statistic = Callable[[NDArray, NDArray], float]


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A figure and the interval in which it lies with 95 % confidence, as far as the set's own size goes."""

    value: float
    low: float
    high: float


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts by truth: how many genuine media and how many fakes were called REAL, UNCERTAIN, FAKE."""

    real: tuple[int, int, int]
    fake: tuple[int, int, int]


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the set with one value of one column; no AUC where it holds one class alone."""

    column: str
    value: str
    n: int
    confusion: Confusion
    auc: float | None


def false_positives_at(p_fake: NDArray, fake: NDArray, *, found: float) -> float:
    """Share of genuine media accused at the highest threshold that finds at least a share `found` of the fakes."""
    truth = fake.astype(bool)
    fakes = np.sort(p_fake[truth])[::-1]
    threshold = fakes[max(0, int(np.ceil(found * len(fakes) - 1e-9)) - 1)]
    return float(np.mean(p_fake[~truth] >= threshold))


def true_positives_at(p_fake: NDArray, fake: NDArray, *, accused: float) -> float:
    """Share of fakes found at the lowest threshold that accuses at most a share `accused` of genuine media."""
    truth = fake.astype(bool)
    genuine = np.sort(p_fake[~truth])[::-1]
    allowed = int(np.floor(accused * len(genuine) + 1e-9))
    if allowed >= len(genuine):
        return 1.0
    # Whoever scores as high as the first genuine medium that must not be accused is not found either.
    return float(np.mean(p_fake[truth] > genuine[allowed]))


def statistics_of(thresholds: Thresholds) -> dict[str, Statistic]:
    """Every figure by name, each a function of scores and truth."""
    return {
        "auc": roc_auc,
        "eer": equal_error_rate,
        "brier": brier,
        "ece": calibration_error,
        "accuracy": accuracy,
        "accuracy_at_low": lambda p, t: accuracy(p, t, threshold=thresholds.low),
        "accuracy_at_high": lambda p, t: accuracy(p, t, threshold=thresholds.high),
        "false_positive_rate": lambda p, t: float(np.mean(p[~t.astype(bool)] >= thresholds.high)),
        "false_negative_rate": lambda p, t: float(np.mean(p[t.astype(bool)] < thresholds.low)),
        "uncertain": lambda p, _: float(np.mean((p >= thresholds.low) & (p < thresholds.high))),
        "fpr_at_tpr_95": lambda p, t: false_positives_at(p, t, found=0.95),
        "tpr_at_fpr_1": lambda p, t: true_positives_at(p, t, accused=0.01),
        "tpr_at_fpr_5": lambda p, t: true_positives_at(p, t, accused=0.05),
    }


def with_intervals(
    p_fake: NDArray, fake: NDArray, thresholds: Thresholds, *, seed: int = SEED, resamples: int | None = None
) -> dict[str, Interval]:
    """Every figure with its interval, rounded to five decimals.

    Raises:
        ValueError: One of the classes is empty.
    """
    statistics = statistics_of(thresholds)
    values = {name: statistic(p_fake, fake) for name, statistic in statistics.items()}
    draws = bootstrap(fake, seed=seed, resamples=resamples)
    drawn = {name: np.asarray([each(p_fake[rows], fake[rows]) for rows in draws]) for name, each in statistics.items()}
    return {name: interval(values[name], drawn[name]) for name in statistics}


def interval(value: float, drawn: NDArray) -> Interval:
    """A figure with the percentiles of what it was in the resamples."""
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value=round(float(value), 5), low=round(float(low), 5), high=round(float(high), 5))


def bootstrap(fake: NDArray, *, seed: int = SEED, resamples: int | None = None) -> list[NDArray[np.int64]]:
    """Indices of resamples with replacement, as many of each class as there are; fewer resamples of huge sets.

    Efron & Tibshirani, 1993, "An Introduction to the Bootstrap"; stratified, because the share of fakes in a set is
    chosen by whoever made it and tells nothing of the model.
    """
    rng = np.random.default_rng(seed)
    count = resamples or max(_FEWEST_RESAMPLES, min(RESAMPLES, _MOST_DRAWS // max(1, len(fake))))
    classes = [np.flatnonzero(fake == label) for label in (False, True)]
    return [np.concatenate([rng.choice(members, len(members)) for members in classes]) for _ in range(count)]


def confusion(verdicts: Sequence[Verdict], fake: NDArray) -> Confusion:
    """Count verdicts by truth."""
    order = (Verdict.REAL, Verdict.UNCERTAIN, Verdict.FAKE)
    pairs = [(verdict, bool(truth)) for verdict, truth in zip(verdicts, fake, strict=True)]
    real_counts, fake_counts = (tuple(pairs.count((verdict, truth)) for verdict in order) for truth in (False, True))
    return Confusion(real=real_counts, fake=fake_counts)  # pyright: ignore[reportArgumentType]  # Three, as `order` is.


def by_slice(
    p_fake: NDArray, fake: NDArray, verdicts: Sequence[Verdict], slices: Sequence[Mapping[str, str]]
) -> tuple[Slice, ...]:
    """Figures of each value of each column, columns in their order, values by name."""
    columns = list(dict.fromkeys(column for each in slices for column in each))
    found: list[Slice] = []
    for column in columns:
        values = np.asarray([each.get(column, "-") for each in slices])
        for value in sorted(set(values.tolist())):
            rows = np.flatnonzero(values == value)
            truth = fake[rows]
            mixed = 0 < np.count_nonzero(truth) < len(rows)
            found.append(
                Slice(
                    column=column,
                    value=value,
                    n=len(rows),
                    confusion=confusion([verdicts[row] for row in rows.tolist()], truth),
                    auc=round(roc_auc(p_fake[rows], truth), 5) if mixed else None,
                )
            )
    return tuple(found)
