import numpy as np
import pytest

from scripts.models.calibration import (
    choose_thresholds,
    fit_temperature,
    negative_log_likelihood,
    sigmoid,
    temper,
    thresholds_for,
)


def overconfident(temperature: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too far from zero, and labels drawn from the true probability."""
    rng = np.random.default_rng(3)
    true_logits = rng.normal(0, 2, n)
    return true_logits * temperature, rng.random(n) < sigmoid(true_logits)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_logits_were_heated_by_is_found(temperature: float) -> None:
    assert fit_temperature(*overconfident(temperature)) == pytest.approx(temperature, rel=0.06)


def test_no_other_temperature_is_likelier() -> None:
    logits, fake = overconfident(2.0, 400)
    best = fit_temperature(logits, fake)
    likelihood = negative_log_likelihood(logits, fake, best)
    assert all(likelihood <= negative_log_likelihood(logits, fake, other) for other in (best * 0.98, best * 1.02))


def test_sigmoid_neither_overflows_nor_leaves_its_range() -> None:
    assert sigmoid(np.asarray([-1e4, 0, 1e4])).tolist() == [0, 0.5, 1]


def test_thresholds_let_at_most_the_wanted_share_of_each_class_over() -> None:
    logits, fake = overconfident(1.0, 4000)
    p_fake = sigmoid(logits)
    bounds = choose_thresholds(p_fake, fake, error=0.1)
    assert bounds.low <= 0.5 <= bounds.high
    assert np.mean(p_fake[~fake] >= bounds.high) <= 0.101
    assert np.mean(p_fake[fake] < bounds.low) <= 0.101


def test_thresholds_of_a_perfect_detector_still_leave_room_for_doubt() -> None:
    bounds = choose_thresholds(np.asarray([0.0, 0.0, 1.0, 1.0]), np.asarray([False, False, True, True]))
    assert (bounds.low, bounds.high) == (0.4, 0.6)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("n", [20, 101, 400])
def test_thresholds_keep_the_rates_on_the_set_that_they_were_made_on(n, rate):
    rng = np.random.default_rng(n)
    fake = np.arange(n) % 2 == 0
    # Coarse scores, so that many are the same.
    p_fake = sigmoid(rng.normal(np.where(fake, 1.0, -1.0), 1.5)).round(2).clip(0.01, 0.99)

    found = thresholds_for(p_fake, fake, max_fpr=rate, max_fnr=rate)

    assert np.mean(p_fake[~fake] >= found.high) <= rate
    assert np.mean(p_fake[fake] < found.low) <= rate
    assert found.low <= 0.4
    assert found.high >= 0.6


def test_no_threshold_is_given_where_none_keeps_the_rate():
    fake = np.asarray([False] * 10 + [True] * 10)
    p_fake = np.where(np.arange(20) == 3, 1.0, np.where(fake, 0.9, 0.1))

    with pytest.raises(ValueError, match="certain and wrong"):
        thresholds_for(p_fake, fake, max_fpr=0.01, max_fnr=0.1)
    assert thresholds_for(p_fake, fake, max_fpr=0.1, max_fnr=0.1).high == 0.6


def test_tempering_undoes_itself_and_keeps_the_order():
    p_fake = np.asarray([0.0, 0.001, 0.3, 0.5, 0.9999, 1.0])

    np.testing.assert_allclose(temper(temper(p_fake, 3.0), 1 / 3), p_fake, atol=1e-9)
    assert (np.diff(temper(p_fake, 3.0)) > 0).all()
    assert temper(np.asarray([0.5]), 9.0) == 0.5
