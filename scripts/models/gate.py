"""Whether a version in fewer bits still gives the verdicts of the version that it was made of. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.contract import Thresholds
from bentos.verdict import decide
from scripts.models.metrics import roc_auc

LEAST_AGREEMENT: Final = 0.99
MOST_AUC_LOST: Final = 0.005


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How two versions judge the same `n` labelled media.

    `agreement` is the share of equal verdicts at the original's thresholds, `largest` the largest |Δ p_fake|, `kinds`
    how many of the three verdicts the original gives: where that is one, equal verdicts say little.
    """

    n: int
    agreement: float
    largest: float
    auc_before: float
    auc_after: float
    kinds: int

    @property
    def auc_lost(self) -> float:
        """By how much the AUC is smaller than before; below 0 where it grew."""
        return self.auc_before - self.auc_after

    @property
    def holds(self) -> bool:
        """Whether it is close enough to serve in the original's place."""
        return self.agreement >= LEAST_AGREEMENT and self.auc_lost <= MOST_AUC_LOST

    def __str__(self) -> str:
        alike = (
            "" if self.kinds > 1 else "; the original gives all of them one verdict: calibrate it for a stricter proof"
        )
        return (
            f"{self.agreement:.2%} equal verdicts over {self.n} media (at least {LEAST_AGREEMENT:.0%}), AUC "
            f"{self.auc_before:.4f} → {self.auc_after:.4f} (at most {MOST_AUC_LOST} less), p_fake off by at most "
            f"{self.largest:.3f}{alike}"
        )


def agree(
    before: Sequence[float] | NDArray, after: Sequence[float] | NDArray, fake: NDArray, thresholds: Thresholds
) -> Agreement:
    """Compare the p_fake of two versions, [n] each, over the same media; `fake` is [n] of booleans.

    Raises:
        ValueError: The lengths differ, or one of the classes is empty.
    """
    one, other = np.asarray(before, np.float64), np.asarray(after, np.float64)
    verdicts = [(decide(p, thresholds), decide(q, thresholds)) for p, q in zip(one, other, strict=True)]
    return Agreement(
        n=len(verdicts),
        agreement=float(np.mean([first is second for first, second in verdicts])),
        largest=float(np.abs(one - other).max()),
        auc_before=roc_auc(one, fake),
        auc_after=roc_auc(other, fake),
        kinds=len({first for first, _ in verdicts}),
    )
