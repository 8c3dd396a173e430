import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.compat.steadying import steady

frames = st.lists(st.tuples(st.floats(-1, 10), st.floats(0, 1, width=32)), min_size=1, max_size=40)


@given(values=frames)
def test_it_stays_between_the_lowest_and_the_highest_frame(values):
    scores = [score for _, score in values]
    assert min(scores) <= steady(values) <= max(scores)


@given(score=st.floats(0, 1))
def test_one_frame_is_its_own_score(score):
    assert steady([(0.0, score)]) == score


@given(score=st.floats(0, 1), ages=st.lists(st.floats(0, 10), min_size=1, max_size=20))
def test_a_still_scene_keeps_its_score(score, ages):
    assert steady([(age, score) for age in ages]) == score


@given(values=frames, raised=st.floats(0, 1, width=32))
def test_no_frame_can_rise_and_the_answer_fall(values, raised):
    age, score = values[0]
    assert steady([(age, max(score, raised)), *values[1:]]) >= steady(values) - 1e-12


def test_the_log_odds_are_averaged_with_weights_that_halve_every_two_seconds():
    # Log-odds of 0.9 and 0.5 are log(9) and 0; with weights 1 and 1/2 their mean is log(9) * 2/3.
    assert steady([(0.0, 0.9), (2.0, 0.5)]) == pytest.approx(9 ** (2 / 3) / (1 + 9 ** (2 / 3)))


@pytest.mark.parametrize("rate", [1, 5])
def test_one_odd_frame_does_not_turn_it_and_three_seconds_do_at_any_rate(rate):
    calm = [(second / rate, 0.1) for second in range(1, 10 * rate)]
    assert steady([(0.0, 1.0), *calm]) < 0.5
    turned = [(second / rate, 0.95) for second in range(3 * rate)]
    assert steady([*turned, *((3 + age, score) for age, score in calm)]) > 0.5
