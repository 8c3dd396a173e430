from scripts.stack.healing import is_due


def test_one_failure_may_be_chance_and_then_the_pauses_double() -> None:
    assert [strikes for strikes in range(70) if is_due(strikes)] == [2, 4, 8, 16, 32, 64]
