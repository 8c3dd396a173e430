import numpy as np
import pytest

from scripts.models.calibration import choose_thresholds, fit_temperature, negative_log_likelihood, sigmoid


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
