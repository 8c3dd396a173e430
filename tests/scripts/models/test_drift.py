from bisect import bisect_left

import numpy as np
import pytest

from bentos.contract import LATENCY_BOUNDS_S, SCORE_BINS
from scripts.models.drift import ks, ks_by_chance, psi, psi_by_chance, quantile


def latencies(*seconds: float) -> tuple[int, ...]:
    places = [bisect_left(LATENCY_BOUNDS_S, each) for each in seconds]
    return tuple(places.count(place) for place in range(len(LATENCY_BOUNDS_S) + 1))


def binned(scores) -> tuple[int, ...]:
    return tuple(int(count) for count in np.histogram(scores, bins=SCORE_BINS, range=(0, 1))[0])


def test_a_quantile_is_read_within_its_bucket():
    assert quantile(latencies(*[0.03] * 100), 0.5) == pytest.approx(0.0375)
    assert quantile(latencies(*[0.03] * 95, *[0.2] * 5), 0.95) == pytest.approx(0.05)
    assert quantile(latencies(1000.0), 0.95) == LATENCY_BOUNDS_S[-1]
    assert quantile(latencies(), 0.95) is None


def test_the_stability_index_is_that_of_its_definition():
    expected, actual = (60, 40), (30, 70)
    e, a = np.array([60.5, 40.5]) / 101, np.array([30.5, 70.5]) / 101
    assert psi(expected, actual) == pytest.approx(float(np.sum((a - e) * np.log(a / e))))
    assert psi(expected, expected) == 0
    assert psi((100, 0), (0, 100)) < 20  # An empty bin counts as rare and not as impossible.


def test_the_distance_is_that_of_its_definition():
    assert ks((10, 0, 0), (0, 0, 5)) == 1
    assert ks((5, 5), (1, 3)) == pytest.approx(0.25)
    assert ks((0, 0), (1, 3)) == 0


def test_equal_versions_pass_the_bounds_of_chance_as_seldom_as_is_said():
    generator = np.random.default_rng(5)
    n, m, rounds = 400, 900, 2000
    samples = [(generator.beta(2, 3, n), generator.beta(2, 3, m)) for _ in range(rounds)]
    pairs = [(binned(one), binned(other)) for one, other in samples]
    assert np.mean([psi(*pair) > psi_by_chance(n, m, SCORE_BINS) for pair in pairs]) <= 0.004
    assert np.mean([ks(*pair) > ks_by_chance(n, m) for pair in pairs]) <= 0.004
