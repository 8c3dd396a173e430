"""What is decided without any I/O: waits, Retry-After, paths and queries."""

import inspect
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import pytest

from bonafide_client import ApiError, Bonafide, InProgressError, Retries
from bonafide_client.answers import Answer, error_of, read_retry_after
from bonafide_client.calls import path_of, query_of

NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)


def refusal(status: int = 503, code: str = "overloaded", wait: str | None = None) -> ApiError:
    headers = {} if wait is None else {"retry-after": wait}
    return error_of(Answer(status, headers, f'{{"code": "{code}"}}'.encode()))


def test_waits_are_spread_from_nothing_to_a_cap_that_doubles():
    retries = Retries(limit=6, base=0.5, cap=8)

    for attempt, most in enumerate([0.5, 1, 2, 4, 8, 8], start=1):
        waits = [retries.delay(attempt, None) for _ in range(400)]
        assert 0 <= min(waits) < most * 0.1
        assert most * 0.9 < max(waits) <= most
    assert retries.delay(7, None) is None


def test_what_the_api_asks_for_is_the_least_that_is_waited():
    waits = [Retries(base=1).delay(1, refusal(wait="7")) for _ in range(100)]

    assert all(7 <= wait <= 8 for wait in waits)
    assert len(set(waits)) > 1


def test_longer_than_the_longest_wait_is_not_waited():
    assert Retries().delay(1, refusal(wait="61")) is None
    assert Retries(longest_wait=100).delay(1, refusal(wait="61")) is not None


def test_a_call_under_way_is_waited_for_however_often():
    error = refusal(409, "idempotency_in_progress", "1")

    assert isinstance(error, InProgressError)
    assert 1 <= Retries().delay(10_000, error) <= 9


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("9" * 400, float("inf")),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_servers_own_clock(header, seconds):
    date_header = format_datetime(NOW, usegmt=True)

    assert read_retry_after({"retry-after": header, "date": date_header}) == seconds


def test_a_date_without_the_servers_clock_is_compared_with_ours():
    header = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)

    assert read_retry_after({"retry-after": header}) == pytest.approx(60, abs=5)


@pytest.mark.parametrize("part", ["", ".", ".."])
def test_no_id_leads_elsewhere(part):
    with pytest.raises(ValueError, match="no id"):
        path_of("detections", part)


def test_ids_are_escaped():
    assert path_of("detections", "a/../b?c#d") == "/v1/detections/a%2F..%2Fb%3Fc%23d"
    assert path_of("keys", UUID(int=1)) == f"/v1/keys/{UUID(int=1)}"


def test_queries_leave_out_what_is_not_given():
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    values = {"a": None, "b": True, "c": ["x", "y"], "d": moment, "e": date(2026, 1, 2), "f": 3}

    assert query_of(values) == (
        ("b", "true"),
        ("c", "x"),
        ("c", "y"),
        ("d", "2026-11-21T00:00:00+00:00"),
        ("e", "2026-01-02"),
        ("f", "3"),
    )


def test_a_time_without_its_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        query_of({"since": datetime(2026, 11, 21)})  # noqa: DTZ001 - What is refused.


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://example.org", "http://", "/v1"])
def test_a_bad_address_is_refused_at_once(url, monkeypatch):
    monkeypatch.setenv("BONAFIDE_URL", url or "nonsense")

    with pytest.raises(ValueError, match="no address"):
        Bonafide(base_url=url)


@pytest.mark.parametrize("key", ["sk live", "sk-live-1\n", "schlüssel"])
def test_a_bad_key_is_refused_without_being_shown(key):
    with pytest.raises(ValueError, match="no key has") as caught:
        Bonafide(api_key=key)

    assert key.strip() not in str(caught.value)


def test_address_and_key_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("BONAFIDE_URL", "https://bonafide.example.org/")
    monkeypatch.setenv("BONAFIDE_API_KEY", "sk-live-2")

    with Bonafide() as client:
        assert repr(client) == "Bonafide('https://bonafide.example.org')"
        assert client.driver.context.credentials.bearer == "sk-live-2"


def test_methods_tell_what_they_take():
    assert "detection_id" in str(inspect.signature(Bonafide().detections.retrieve))
    assert "with its evidence" in (Bonafide().detections.retrieve.__doc__ or "")
