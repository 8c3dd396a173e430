import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from bentos.contract import Thresholds, Verdict
from scripts.models.evaluation.figures import (
    bootstrap,
    by_slice,
    confusion,
    false_positives_at,
    true_positives_at,
    with_intervals,
)
from scripts.models.metrics import roc_auc

THRESHOLDS = Thresholds(low=0.3, high=0.7)


def draw(seed, n=400):
    rng = np.random.default_rng(seed)
    fake = rng.random(n) < 0.4
    return 1 / (1 + np.exp(-rng.normal(np.where(fake, 1.2, -1.2), 1.5))), fake


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("digits", [1, 8])
def test_rates_are_those_of_the_whole_curve(seed, digits):
    p_fake, fake = draw(seed)
    p_fake = p_fake.round(digits)
    accused, found, _ = roc_curve(fake, p_fake, drop_intermediate=False)

    assert false_positives_at(p_fake, fake, found=0.95) == pytest.approx(accused[found >= 0.95].min())
    assert true_positives_at(p_fake, fake, accused=0.05) == pytest.approx(found[accused <= 0.05].max())


def test_figures_are_what_they_are_called():
    p_fake, fake = draw(1)

    found = with_intervals(p_fake, fake, THRESHOLDS, resamples=200)

    assert found["auc"].value == pytest.approx(roc_auc_score(fake, p_fake), abs=1e-5)
    assert found["false_positive_rate"].value == pytest.approx(np.mean(p_fake[~fake] >= 0.7), abs=1e-5)
    assert found["false_negative_rate"].value == pytest.approx(np.mean(p_fake[fake] < 0.3), abs=1e-5)
    assert found["uncertain"].value == pytest.approx(np.mean((p_fake >= 0.3) & (p_fake < 0.7)), abs=1e-5)
    assert all(each.low <= each.high for each in found.values())
    assert found["auc"].low < found["auc"].value < found["auc"].high
    assert with_intervals(p_fake, fake, THRESHOLDS, resamples=200) == found


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth = roc_auc(*draw(99, n=40_000))
    held = 0
    for seed in range(40):
        p_fake, fake = draw(seed, n=120)
        drawn = [roc_auc(p_fake[rows], fake[rows]) for rows in bootstrap(fake, seed=seed, resamples=100)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        held += low <= truth <= high

    assert held >= 34


def test_resamples_keep_the_share_of_each_class():
    _, fake = draw(2)

    for rows in bootstrap(fake, resamples=20):
        assert len(rows) == len(fake)
        assert fake[rows].sum() == fake.sum()


def test_verdicts_are_counted_by_truth_and_slice():
    p_fake = np.asarray([0.1, 0.5, 0.9, 0.2, 0.8])
    fake = np.asarray([False, False, True, True, True])
    verdicts = [Verdict.REAL, Verdict.UNCERTAIN, Verdict.FAKE, Verdict.REAL, Verdict.FAKE]

    whole = confusion(verdicts, fake)
    parts = by_slice(p_fake, fake, verdicts, [{"f": "jpg"}, {"f": "png"}, {"f": "jpg"}, {"f": "png"}, {}])

    assert (whole.real, whole.fake) == ((1, 1, 0), (1, 0, 2))
    assert [(part.value, part.n, part.auc) for part in parts] == [("-", 1, None), ("jpg", 2, 1.0), ("png", 2, 0.0)]
    assert parts[2].confusion.fake == (1, 0, 0)
