from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.limits.allowance import Allowance
from gateway.limits.headers import limit_headers

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


def allowance(**changed: Any) -> Allowance:
    values: dict[str, Any] = {
        "daily_limit": 100,
        "used_today": 40,
        "burst_limit": 10,
        "burst_period_s": 60,
        "arrival_at": None,
        "now": NOON,
    }
    return Allowance(**(values | changed))


def test_the_day_ends_at_midnight_utc_whatever_the_zone_of_the_clock() -> None:
    assert allowance().seconds_to_reset == 12 * 3600
    assert allowance().resets_at == datetime(2030, 2, 1, tzinfo=UTC)


def test_a_second_before_midnight_there_is_still_a_second_to_wait() -> None:
    late = datetime(2030, 1, 31, 23, 59, 59, 900_000, tzinfo=UTC)
    assert allowance(now=late).seconds_to_reset == 1


@pytest.mark.parametrize(("used", "left"), [(0, 100), (99, 1), (100, 0), (150, 0)])
def test_what_is_left_of_the_day_is_never_negative(used: int, left: int) -> None:
    assert allowance(used_today=used).daily_remaining == left


@pytest.mark.parametrize(("ahead_s", "left"), [(-5, 10), (0, 10), (6, 9), (54, 1), (55, 0), (60, 0)], ids=str)
def test_what_is_left_of_the_burst_follows_the_theoretical_arrival_time(ahead_s: float, left: int) -> None:
    burst = allowance(arrival_at=NOON + timedelta(seconds=ahead_s)).burst
    assert burst
    assert burst.remaining == left


def test_a_full_burst_frees_its_next_slot_after_one_emission_interval() -> None:
    burst = allowance(arrival_at=NOON + timedelta(seconds=60)).burst
    assert burst
    assert burst.seconds_to_slot == 6


def test_an_account_without_limits_has_no_headers() -> None:
    unlimited = allowance(daily_limit=None, burst_limit=None)
    assert unlimited.daily_remaining is None
    assert unlimited.burst is None
    assert limit_headers(unlimited) == []


def test_the_headers_name_both_policies() -> None:
    assert dict(limit_headers(allowance(arrival_at=NOON + timedelta(seconds=12)))) == {
        b"ratelimit-policy": b'"daily";q=100;w=86400, "burst";q=10;w=60',
        b"ratelimit": b'"daily";r=60;t=43200, "burst";r=8;t=12',
        b"x-ratelimit-limit": b"100",
        b"x-ratelimit-remaining": b"60",
        b"x-ratelimit-reset": b"1896134400",
    }
