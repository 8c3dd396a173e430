"""Figures of a detector on labelled scores, the ones that a card gives. Pure functions on float arrays.

Throughout, `p_fake` is [n] in [0, 1] and `fake` is [n] of booleans, true where the medium is synthetic.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.cards import Metrics

ECE_BINS: Final = 15


def roc_auc(p_fake: NDArray, fake: NDArray) -> float:
    """Probability that a fake scores higher than a genuine medium, ties counting half (Mann-Whitney).

    Raises:
        ValueError: One of the classes is empty.
    """
    _both_classes(fake)
    _, inverse, counts = np.unique(p_fake, return_inverse=True, return_counts=True)
    # Equal scores share the mean of the ranks they take up.
    ranks = np.cumsum(counts) - (counts - 1) / 2
    positives = int(np.count_nonzero(fake))
    rank_sum = ranks[inverse][fake.astype(bool)].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * (len(fake) - positives)))


def equal_error_rate(p_fake: NDArray, fake: NDArray) -> float:
    """Error rate at the threshold where as large a share of fakes is missed as of genuine media is accused.

    Between two neighbouring thresholds the curve is taken as straight.

    Raises:
        ValueError: One of the classes is empty.
    """
    _both_classes(fake)
    truth = fake.astype(bool)
    thresholds = np.concatenate([np.unique(p_fake), [np.inf]])
    fakes, genuine = np.sort(p_fake[truth]), np.sort(p_fake[~truth])
    missed = np.searchsorted(fakes, thresholds, side="left") / len(fakes)
    accused = 1 - np.searchsorted(genuine, thresholds, side="left") / len(genuine)
    crossing = int(np.argmax(missed >= accused))
    if crossing == 0:
        return float((missed[0] + accused[0]) / 2)
    before, after = accused[crossing - 1] - missed[crossing - 1], missed[crossing] - accused[crossing]
    share = before / (before + after)
    return float(missed[crossing - 1] + share * (missed[crossing] - missed[crossing - 1]))


def brier(p_fake: NDArray, fake: NDArray) -> float:
    """Mean squared distance of the probability from the truth (Brier, 1950)."""
    return float(np.mean((p_fake - fake.astype(np.float64)) ** 2))


def calibration_error(p_fake: NDArray, fake: NDArray, *, bins: int = ECE_BINS) -> float:
    """Expected calibration error of p_fake over `bins` equal bins: |mean p_fake - share of fakes|, weighted by size."""
    index = np.minimum((p_fake * bins).astype(np.int64), bins - 1)
    sizes = np.bincount(index, minlength=bins)
    said = np.bincount(index, weights=p_fake, minlength=bins)
    seen = np.bincount(index, weights=fake.astype(np.float64), minlength=bins)
    return float(np.abs(said - seen)[sizes > 0].sum() / len(p_fake))


def accuracy(p_fake: NDArray, fake: NDArray, *, threshold: float = 0.5) -> float:
    """Share of media on the right side of `threshold`."""
    return float(np.mean((p_fake >= threshold) == fake.astype(bool)))


def measure(p_fake: NDArray, fake: NDArray, *, name: str) -> Metrics:
    """All figures of a card, rounded to five decimals; `name` says which set they were measured on."""
    return Metrics(
        set=name,
        n=len(fake),
        auc=round(roc_auc(p_fake, fake), 5),
        eer=round(equal_error_rate(p_fake, fake), 5),
        brier=round(brier(p_fake, fake), 5),
        ece=round(calibration_error(p_fake, fake), 5),
        accuracy=round(accuracy(p_fake, fake), 5),
    )


def _both_classes(fake: NDArray) -> None:
    if not 0 < np.count_nonzero(fake) < len(fake):
        raise ValueError("the set must hold both genuine and fake media")
