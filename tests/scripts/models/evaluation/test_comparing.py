import numpy as np
import pytest
from scipy.stats import binomtest

from scripts.models.evaluation.comparing import differences, mcnemar
from scripts.models.metrics import roc_auc


@pytest.mark.parametrize(("one", "other"), [(0, 0), (0, 1), (3, 3), (2, 11), (40, 75), (3000, 3200)])
def test_mcnemars_test_is_the_binomial_one(one, other):
    wanted = binomtest(one, one + other).pvalue if one + other else 1.0

    assert mcnemar(one, other) == pytest.approx(wanted, rel=1e-6)
    assert mcnemar(one, other) == mcnemar(other, one)


def test_differences_are_paired():
    rng = np.random.default_rng(3)
    fake = rng.random(300) < 0.5
    first = np.clip(rng.normal(np.where(fake, 0.6, 0.4), 0.2), 0, 1)
    # The second errs on the same media, only a little less.
    second = np.clip(first + np.where(fake, 0.02, -0.02), 0, 1)

    found = differences(first, second, fake, resamples=300)["auc"]

    assert found.value == pytest.approx(roc_auc(second, fake) - roc_auc(first, fake), abs=1e-5)
    assert 0 < found.low < found.value < found.high
    assert differences(first, first, fake, resamples=20)["auc"].high == 0
