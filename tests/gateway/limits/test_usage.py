"""`/v1/usage`, day by day as well, and the headers that every known caller's answers carry."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from bentos.contract import ErrorBody, Modality
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from tests.fixtures.admissions import Clock, Holder, make_holder
from tests.fixtures.gateway import JPEG, MP4, Client
from tests.fixtures.keys import Keyring, sign_in

pytestmark = pytest.mark.integration

TODAY = datetime(2030, 6, 15, 12, tzinfo=UTC)


@pytest.fixture
async def holder(anonymous: Client, database: Any) -> Holder:
    """The account of the client `anonymous`, which carries its key from now on."""
    holder = await make_holder(database)
    anonymous.key = holder.key.secret
    return holder


async def test_usage_tells_every_limit_of_the_account_and_of_the_key(
    anonymous: Client, holder: Holder, database: Any
) -> None:
    await Clock(database).stop_at(TODAY)
    await holder.set_account(daily_limit=10, daily_bytes=100_000, burst_limit=5, burst_period_s=50, concurrent_limit=3)
    await holder.set_key(daily_limit=4, daily_bytes=50_000, burst_limit=2, burst_period_s=20)
    assert (await anonymous.detect()).status_code == 200
    tomorrow = "2030-06-16T00:00:00Z"
    size = len(JPEG)
    assert (await anonymous.get("/v1/usage")).json() == {
        "day": {"limit": 10, "used": 1, "remaining": 9, "resets_at": tomorrow},
        "bytes": {"limit": 100_000, "used": size, "remaining": 100_000 - size, "resets_at": tomorrow},
        "burst": {"limit": 5, "period_s": 50, "remaining": 4},
        "concurrency": {"limit": 3, "running": 0, "remaining": 3},
        "key": {
            "day": {"limit": 4, "used": 1, "remaining": 3, "resets_at": tomorrow},
            "bytes": {"limit": 50_000, "used": size, "remaining": 50_000 - size, "resets_at": tomorrow},
            "burst": {"limit": 2, "period_s": 20, "remaining": 1},
        },
        "total": 1,
        "last_day": "2030-06-15",
    }


async def test_usage_of_an_account_without_limits(anonymous: Client, holder: Holder) -> None:
    assert holder
    answer = await anonymous.get("/v1/usage")
    usage = answer.json()
    assert (usage["day"]["limit"], usage["day"]["remaining"]) == (None, None)
    assert (usage["bytes"]["limit"], usage["burst"], usage["key"]) == (None, None, None)
    assert usage["concurrency"] == {"limit": None, "running": 0, "remaining": None}
    assert (usage["total"], usage["last_day"]) == (0, None)
    assert not [name for name in answer.headers if "ratelimit" in name]


# Day by day.


async def fill(database: Any, holder: Holder, rows: list[tuple[int, str, UUID, int]]) -> None:
    """Use: `(days before TODAY, modality, key, charged)`."""
    for ago, modality, key_id, charged in rows:
        await database.execute(
            """
            INSERT INTO detection_days (account_id, day, modality, key_id, charged, bytes, succeeded, failed)
            VALUES (%s, %s, %s, %s, %s, %s, %s, 1)
            """,
            (holder.account_id, TODAY.date() - timedelta(days=ago), modality, key_id, charged, charged * 10, charged),
        )


@pytest.fixture
async def filled(anonymous: Client, database: Any, holder: Holder) -> Client:
    await Clock(database).stop_at(TODAY)
    stranger, no_key = await make_holder(database), UUID(int=0)
    await fill(database, stranger, [(0, "image", no_key, 99)])
    rows = [
        (0, "image", holder.key_id, 1),
        (0, "video", holder.key_id, 2),
        (0, "image", no_key, 4),
        (3, "audio", no_key, 8),
        (29, "image", no_key, 16),
        (30, "image", no_key, 32),
    ]
    await fill(database, holder, rows)
    return anonymous


async def days(client: Client, **parameters: Any) -> list[tuple[Any, ...]]:
    answer = await client.get("/v1/usage/days", params=parameters)
    assert answer.status_code == 200, answer.text
    return [
        (one["day"], one["key_id"], one["modality"], one["charged"], one["bytes"], one["succeeded"], one["failed"])
        for one in answer.json()["data"]
    ]


async def test_the_last_thirty_days_are_told_where_nothing_is_said(filled: Client) -> None:
    assert await days(filled) == [
        ("2030-06-15", None, None, 7, 70, 7, 3),
        ("2030-06-12", None, None, 8, 80, 8, 1),
        ("2030-05-17", None, None, 16, 160, 16, 1),
    ]
    body = (await filled.get("/v1/usage/days")).json()
    assert (body["from"], body["to"], body["group_by"]) == ("2030-05-17", "2030-06-15", "day")
    assert body["next_cursor"] is None


async def test_a_day_is_told_apart_by_key_or_by_modality(filled: Client, holder: Holder) -> None:
    today = {"from": "2030-06-15"}
    assert await days(filled, group_by="key", **today) == [
        ("2030-06-15", None, None, 4, 40, 4, 1),
        ("2030-06-15", str(holder.key_id), None, 3, 30, 3, 2),
    ]
    assert await days(filled, group_by="modality", **today) == [
        ("2030-06-15", None, "image", 5, 50, 5, 2),
        ("2030-06-15", None, "video", 2, 20, 2, 1),
    ]


async def test_both_ends_are_included(filled: Client) -> None:
    found = await days(filled, **{"from": "2030-05-16", "to": "2030-06-12"})
    assert [one[0] for one in found] == ["2030-06-12", "2030-05-17", "2030-05-16"]
    assert await days(filled, to="0001-01-02") == []


@pytest.mark.parametrize("group_by", ["day", "key", "modality"])
async def test_pages_hold_whole_days(filled: Client, group_by: str) -> None:
    whole = await days(filled, group_by=group_by, **{"from": "2030-05-01"})
    found: list[tuple[Any, ...]] = []
    parameters = {"from": "2030-05-01", "group_by": group_by, "limit": "1"}
    for _ in range(4):
        found += await days(filled, **parameters)
        cursor = (await filled.get("/v1/usage/days", params=parameters)).json()["next_cursor"]
        parameters |= {"cursor": cursor or "-"}
    assert parameters["cursor"] == "-"
    assert found == whole


@pytest.mark.parametrize(
    "query",
    [
        "from=2030-06-15&to=2030-06-14",
        "from=2030-06-16",
        "from=2029-06-14",
        "from=yesterday",
        "to=2030-02-30",
        "group_by=hour",
        "limit=0",
        "limit=101",
        "cursor=-",
        "cursor=AQGQAAAAAAAAcAAAAAAAAAA",
        "cursor=Af_______3AAgAAAAAAAAAA",
    ],
)
async def test_a_bad_range_or_parameter_is_400(filled: Client, query: str) -> None:
    answer = await filled.get(f"/v1/usage/days?{query}")
    assert answer.status_code == 400, answer.text


async def test_a_year_and_a_day_is_the_longest_range(filled: Client) -> None:
    assert len(await days(filled, **{"from": "2029-06-15"})) == 4


async def test_what_is_judged_is_told_of_its_day(anonymous: Client, holder: Holder) -> None:
    await anonymous.detect()
    await anonymous.detect(MP4)
    found = await days(anonymous, group_by="modality")
    assert [(one[2], *one[3:]) for one in found] == [("image", 1, len(JPEG), 1, 0), ("video", 1, len(MP4), 1, 0)]
    assert {one[1] for one in await days(anonymous, group_by="key")} == {str(holder.key_id)}


async def test_usage_needs_its_scope(anonymous: Client, holder: Holder) -> None:
    await holder.set_key(scopes=["detect:image"])
    for path in ("/v1/usage", "/v1/usage/days"):
        assert (await anonymous.get(path)).status_code == 403
        assert (await anonymous.http.get(path)).status_code == 401


# The headers.

HEADERS = {"ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}


async def test_every_answer_of_a_known_caller_tells_its_limits(
    anonymous: Client, holder: Holder, bentos: dict[Modality, Script], gateway_settings: GatewaySettings
) -> None:
    await holder.set_account(daily_limit=5, burst_limit=5)
    token = await sign_in(holder.database, gateway_settings, holder.account_id)
    keyring = Keyring(anonymous.http, token)
    refusal = (415, ErrorBody(code="unsupported_media_type", message="Not one of ours."))
    answers = {
        200: await anonymous.detect(),
        201: await keyring.ask("POST", json={"name": "a key"}),
        204: await keyring.ask("DELETE", f"/{(await keyring.make())['id']}"),
        400: await anonymous.detect(b""),
        403: await anonymous.get("/v1/keys"),
        404: await anonymous.get(f"/v1/detections/{holder.key_id}"),
    }
    bentos[Modality.IMAGE].refusal = refusal
    answers[415] = await anonymous.detect()
    for status, answer in answers.items():
        assert answer.status_code == status, answer.text
        assert answer.headers.keys() >= HEADERS, status
        assert '"daily";q=5;w=86400' in answer.headers["ratelimit-policy"]
    # What failed is given back, and the headers of the failure say so.
    assert '"daily";r=4' in answers[415].headers["ratelimit"]
    assert answers[200].headers["x-ratelimit-remaining"] == "4"
    unknown = await anonymous.http.get("/v1/usage", headers={"x-api-key": "sk-live-" + "0" * 48})
    assert unknown.status_code == 401
    assert not HEADERS & unknown.headers.keys()


async def test_a_used_up_limit_is_429_and_says_when_to_come_back(
    anonymous: Client, holder: Holder, database: Any
) -> None:
    await Clock(database).stop_at(TODAY)
    for columns, code, wait_s in [
        ({"daily_limit": 0}, "quota_exceeded", 43_200),
        ({"daily_limit": None, "daily_bytes": 1}, "bytes_exceeded", 43_200),
        ({"daily_bytes": None, "burst_limit": 1, "burst_period_s": 30}, None, None),
        ({}, "burst_exceeded", 30),
    ]:
        await holder.set_account(**columns)
        answer = await anonymous.detect()
        assert answer.json().get("code") == code
        if code:
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) == wait_s
            assert {"ratelimit", "ratelimit-policy"} <= answer.headers.keys()


async def test_the_older_headers_fall_back_to_the_burst(anonymous: Client, holder: Holder, database: Any) -> None:
    await Clock(database).stop_at(TODAY)
    await holder.set_account(burst_limit=5, burst_period_s=50)
    headers = (await anonymous.detect()).headers
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("5", "4")
    assert int(headers["x-ratelimit-reset"]) == int(TODAY.timestamp()) + 10
