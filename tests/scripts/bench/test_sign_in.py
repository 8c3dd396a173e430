import pytest

from scripts.bench.sign_in import compare_times


def test_times_that_tell_nothing_are_as_one_to_one():
    times = compare_times([0.1, 0.2, 0.3], [0.3, 0.2, 0.1])

    assert times.tries == 6
    assert times.ratio == 1
    assert times.slower == pytest.approx(0.5)
    assert times.known_p50_ms == pytest.approx(200)


def test_a_known_email_that_takes_longer_shows():
    times = compare_times([0.11, 0.12, 0.13], [0.10, 0.10, 0.10])

    assert times.ratio == pytest.approx(1.2)
    assert times.slower == 1


def test_no_tries_are_no_comparison():
    with pytest.raises(ValueError, match="no"):
        compare_times([], [0.1])
