import numpy as np
import pytest

from bentos.contract import Thresholds
from scripts.models.gate import agree

THRESHOLDS = Thresholds(low=0.4, high=0.6)
FAKE = np.repeat([False, True], 100)
BEFORE = np.concatenate([np.linspace(0.01, 0.3, 100), np.linspace(0.7, 0.99, 100)])


def test_the_same_scores_agree():
    found = agree(BEFORE, BEFORE, FAKE, THRESHOLDS)

    assert (found.n, found.agreement, found.largest, found.auc_lost) == (200, 1.0, 0.0, 0.0)
    assert found.holds


def test_scores_may_move_where_the_verdict_stays():
    found = agree(BEFORE, np.where(FAKE, 0.95, 0.05), FAKE, THRESHOLDS)

    assert found.agreement == 1.0
    assert found.largest == pytest.approx(0.25)
    assert found.holds


@pytest.mark.parametrize(("others", "holds"), [(2, True), (3, False)])
def test_one_verdict_in_a_hundred_may_be_another(others, holds):
    after = BEFORE.copy()
    after[100 : 100 + others] = 0.5

    found = agree(BEFORE, after, FAKE, THRESHOLDS)

    assert found.agreement == pytest.approx(1 - others / 200)
    assert found.auc_lost == 0
    assert found.holds is holds


def test_equal_verdicts_are_not_enough_where_the_order_is_lost():
    # All are uncertain, before and after, but the fakes no longer score higher.
    before = np.where(FAKE, 0.55, 0.45)

    found = agree(before, np.full(200, 0.5), FAKE, THRESHOLDS)

    assert (found.agreement, found.auc_before, found.auc_after) == (1.0, 1.0, 0.5)
    assert not found.holds
    assert "AUC 1.0000 → 0.5000" in str(found)
    assert "one verdict" in str(found)
    assert "one verdict" not in str(agree(BEFORE, BEFORE, FAKE, THRESHOLDS))


def test_other_lengths_are_no_comparison():
    with pytest.raises(ValueError, match="zip"):
        agree(BEFORE, BEFORE[:-1], FAKE, THRESHOLDS)
