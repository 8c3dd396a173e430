import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.contract import Reason, Thresholds, Verdict
from bentos.verdict import confidence, decide, unite_reasons

THRESHOLDS = Thresholds(low=0.3, high=0.7)


@pytest.mark.parametrize(
    ("p_fake", "verdict"),
    [
        (0.0, Verdict.REAL),
        (0.2999, Verdict.REAL),
        (0.3, Verdict.UNCERTAIN),
        (0.6999, Verdict.UNCERTAIN),
        (0.7, Verdict.FAKE),
        (1.0, Verdict.FAKE),
    ],
)
def test_bounds_belong_to_the_upper_side(p_fake, verdict):
    assert decide(p_fake, THRESHOLDS) is verdict


@given(p_fake=st.floats(0, 1), bound=st.floats(0, 1))
def test_equal_thresholds_leave_nothing_uncertain(p_fake, bound):
    assert decide(p_fake, Thresholds(low=bound, high=bound)) is not Verdict.UNCERTAIN


@given(p_fake=st.floats(0, 1))
def test_confidence_is_a_percentage_of_the_likelier_side(p_fake):
    value = confidence(p_fake)
    assert 50 <= value <= 100
    assert value == round(value, 2)
    assert value == pytest.approx(confidence(1 - p_fake))


def test_confidence_has_two_decimals():
    assert confidence(0.123456) == 87.65


def test_each_reason_is_given_once_and_in_order():
    first, again, other = Reason(code="a", message="1"), Reason(code="a", message="2"), Reason(code="b", message="3")
    assert unite_reasons([first, other, again]) == (first, other)
