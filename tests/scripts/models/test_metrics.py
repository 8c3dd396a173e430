import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from scripts.models.metrics import accuracy, brier, calibration_error, equal_error_rate, measure, roc_auc

SCORES = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: len({fake for _, fake in rows}) == 2
)


def arrays(rows: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores, fake = zip(*rows, strict=True)
    return np.asarray(scores) / 20, np.asarray(fake)


@given(SCORES)
def test_auc_and_brier_agree_with_scikit_learn_also_on_ties(rows: list[tuple[int, bool]]) -> None:
    p_fake, fake = arrays(rows)
    assert roc_auc(p_fake, fake) == pytest.approx(roc_auc_score(fake, p_fake))
    assert brier(p_fake, fake) == pytest.approx(brier_score_loss(fake, p_fake))


@given(SCORES)
def test_eer_lies_between_none_wrong_and_all_wrong_and_falls_to_zero_with_perfect_order(
    rows: list[tuple[int, bool]],
) -> None:
    p_fake, fake = arrays(rows)
    rate = equal_error_rate(p_fake, fake)
    assert 0 <= rate <= 1
    if roc_auc(p_fake, fake) == 1:
        assert rate == pytest.approx(0)
    if roc_auc(p_fake, fake) == 0:
        assert rate == pytest.approx(1)


def test_eer_where_one_in_four_is_on_the_wrong_side() -> None:
    fake = np.asarray([False] * 4 + [True] * 4)
    p_fake = np.asarray([0.1, 0.2, 0.3, 0.7, 0.4, 0.8, 0.9, 0.95])
    assert equal_error_rate(p_fake, fake) == pytest.approx(0.25)


def test_calibration_error_of_honest_and_of_overconfident_scores() -> None:
    fake = np.asarray([False, False, False, True])
    assert calibration_error(np.full(4, 0.25), fake) == pytest.approx(0)
    assert calibration_error(np.ones(4), fake) == pytest.approx(0.75)


def test_accuracy_counts_the_threshold_itself_as_fake() -> None:
    assert accuracy(np.asarray([0.5, 0.49]), np.asarray([True, False])) == 1


def test_one_class_alone_has_neither_auc_nor_eer() -> None:
    for figure in (roc_auc, equal_error_rate):
        with pytest.raises(ValueError, match="both"):
            figure(np.asarray([0.1, 0.9]), np.asarray([True, True]))


def test_measure_gives_the_figures_of_a_card() -> None:
    metrics = measure(np.asarray([0.1, 0.4, 0.6, 0.9]), np.asarray([False, False, True, True]), name="four")
    assert (metrics.set, metrics.n, metrics.auc, metrics.eer, metrics.accuracy) == ("four", 4, 1.0, 0.0, 1.0)
