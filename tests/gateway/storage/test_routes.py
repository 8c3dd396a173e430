"""`/v1/storage` as its owner, and as somebody else, calls it."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from gateway.settings import GatewaySettings
from tests.fixtures.gateway import JPEG, MP4, WAV, Client
from tests.fixtures.kept import KIB, assert_meters_are_exact, keep, rows, stored
from tests.fixtures.people import Person, acts

pytestmark = pytest.mark.integration

MakePerson = Callable[..., Awaitable[Person]]


async def change(client: Client, body: dict[str, Any]) -> Any:
    return await client.http.patch("/v1/storage", headers=client.headers(), json=body)


async def clear(client: Client, body: dict[str, Any], key: str | None = None) -> Any:
    headers = client.headers() | ({"idempotency-key": key} if key else {})
    return await client.http.post("/v1/storage/clear", headers=headers, json=body)


async def test_the_report_says_what_is_used_and_by_what(client: Client, database: Any) -> None:
    empty = (await client.get("/v1/storage")).json()
    assert empty == {
        "used_bytes": 0,
        "allowance_bytes": None,
        "count": 0,
        "passing_bytes": 0,
        "passing_count": 0,
        "keeps_media": False,
        "retention_days": None,
        "largest": [],
    }
    views = [await keep(client, JPEG + bytes(size * KIB)) for size in range(12)]
    await database.execute("UPDATE accounts SET storage_bytes = 1000000")
    report = (await client.get("/v1/storage")).json()
    assert (report["count"], report["allowance_bytes"]) == (12, 1_000_000)
    assert report["used_bytes"] == 12 * len(JPEG) + 66 * KIB
    assert [one["detection_id"] for one in report["largest"]] == [view["id"] for view in views[:1:-1]]


async def test_a_plan_has_an_allowance_and_an_account_may_have_its_own(
    client: Client, admin: Person, database: Any
) -> None:
    (account,) = await rows(database, "SELECT account_id FROM api_keys ORDER BY id LIMIT 1")
    plan = {"title": "Small", "storage_bytes": 5000}
    assert (await admin.send("POST", "/v1/admin/plans", plan | {"name": "small"})).json()["storage_bytes"] == 5000
    answer = await admin.send("PATCH", f"/v1/admin/users/{account[0]}", {"plan": "small"})
    assert (answer.status_code, answer.json()["limits"]["storage_bytes"]) == (200, None)
    assert (await client.get("/v1/storage")).json()["allowance_bytes"] == 5000
    answer = await admin.send("PATCH", f"/v1/admin/users/{account[0]}", {"storage_bytes": 7000})
    assert answer.json()["limits"]["storage_bytes"] == 7000
    assert (await client.get("/v1/storage")).json()["allowance_bytes"] == 7000
    assert (await admin.send("PATCH", f"/v1/admin/users/{account[0]}", {"storage_bytes": -1})).status_code == 400


async def test_what_is_changed_is_answered_and_recorded(client: Client, database: Any) -> None:
    answer = await change(client, {"keeps_media": True, "retention_days": 30})
    assert (answer.json()["keeps_media"], answer.json()["retention_days"]) == (True, 30)
    answer = await change(client, {"retention_days": None})
    assert (answer.json()["keeps_media"], answer.json()["retention_days"]) == (True, None)
    assert (await change(client, {"keeps_media": True})).status_code == 200
    (account,) = await rows(database, "SELECT id FROM accounts")
    told = [(action, before, after) for action, _, before, after in await acts(database, account[0])]
    assert told == [
        (
            "storage.change",
            {"keeps_media": False, "retention_days": None},
            {"keeps_media": True, "retention_days": 30},
        ),
        ("storage.change", {"retention_days": 30}, {"retention_days": None}),
    ]


@pytest.mark.parametrize(
    "body", [{"retention_days": 0}, {"retention_days": 36_501}, {"keeps_media": None}, {"storage_bytes": 1}, []]
)
async def test_a_bad_change_changes_nothing(client: Client, database: Any, body: Any) -> None:
    answer = await change(client, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")
    assert await rows(database, "SELECT keeps_media, retention_days FROM accounts") == [(False, None)]


async def test_media_are_listed_page_by_page(client: Client) -> None:
    views = [await keep(client, data) for data in (JPEG, MP4, WAV, JPEG)]
    ids = [view["medium_id"] for view in reversed(views)]
    first = (await client.get("/v1/storage/media", params={"limit": 3})).json()
    rest = (await client.get("/v1/storage/media", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in first["data"] + rest["data"]] == ids
    assert rest["next_cursor"] is None
    videos = (await client.get("/v1/storage/media", params={"modality": "video"})).json()["data"]
    assert [one["id"] for one in videos] == [views[1]["medium_id"]]
    assert (await client.get("/v1/storage/media", params={"kept": "false"})).json()["data"] == []
    assert (await client.get("/v1/storage/media", params={"cursor": "x"})).json()["code"] == "invalid_cursor"


async def test_a_download_is_never_shown_by_a_browser(client: Client) -> None:
    page = b"<script>alert(1)</script>"
    files = {"file": ('"><script>;\r\nx: y\u00e9.jpg', JPEG + page)}
    answer = await client.http.post("/v1/detections", headers=client.headers(), files=files, data={"store": "true"})
    medium = answer.json()["medium_id"]
    content = await client.get(f"/v1/storage/media/{medium}/content")
    assert content.content == JPEG + page
    headers = content.headers
    assert headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    assert not set('"<>;\r\n') & set(headers["content-disposition"].removeprefix("attachment; "))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox;")
    assert headers["content-type"] == "image/jpeg"
    assert int(headers["content-length"]) == len(content.content)
    assert headers["cache-control"] == "no-store"


async def test_an_object_that_is_missing_is_our_fault_and_told_so(
    client: Client, gateway_settings: GatewaySettings
) -> None:
    view = await keep(client)
    (gateway_settings.spool.parent / "media" / "media" / view["medium_id"]).unlink()
    answer = await client.get(f"/v1/storage/media/{view['medium_id']}/content")
    assert (answer.status_code, answer.json()["code"]) == (410, "medium_gone")


async def test_clearing_takes_what_is_old_or_all_and_says_so(
    client: Client, database: Any, retention: Any, gateway_settings: GatewaySettings
) -> None:
    views = [await keep(client) for _ in range(4)]
    old = [UUID(view["medium_id"]) for view in views[:2]]
    await database.execute("UPDATE media SET completed_at = now() - interval '31 days' WHERE id = ANY(%s)", [old])
    answer = await clear(client, {"older_than_days": 30})
    assert answer.json() == {"deleted_count": 2, "deleted_bytes": 2 * len(JPEG), "in_use": 0, "more": False}
    assert (await client.get("/v1/storage")).json()["used_bytes"] == 2 * len(JPEG)
    answers = [await clear(client, {"all": True}, key="once") for _ in range(2)]
    assert [one.json()["deleted_count"] for one in answers] == [2, 2]
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert (await clear(client, {"all": True})).json()["deleted_count"] == 0
    assert await retention.sweep() == 4
    assert stored(gateway_settings) == []
    assert len((await client.get("/v1/storage/proofs", params={"limit": 3})).json()["data"]) == 3
    await assert_meters_are_exact(database)


@pytest.mark.parametrize("body", [{}, {"all": False}, {"all": True, "older_than_days": 3}, {"older_than_days": 0}])
async def test_clearing_takes_nothing_that_is_not_asked_for_in_so_many_words(
    client: Client, body: dict[str, Any]
) -> None:
    await keep(client)
    answer = await clear(client, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")
    assert (await client.get("/v1/storage")).json()["count"] == 1


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [("media:read", {"GET"}), ("media:write", {"PATCH", "DELETE", "POST"}), ("history:write", set[str]())],
)
async def test_each_scope_opens_its_own(person: MakePerson, scope: str, allowed: set[str]) -> None:
    someone = await person("someone@example.org", scopes=[scope])
    unknown = f"/v1/storage/media/{UUID(int=7)}"
    calls = [
        ("GET", "/v1/storage", None, 200),
        ("GET", "/v1/storage/media", None, 200),
        ("GET", unknown, None, 404),
        ("GET", f"{unknown}/content", None, 404),
        ("GET", "/v1/storage/proofs", None, 200),
        ("PATCH", "/v1/storage", {}, 200),
        ("DELETE", unknown, None, 404),
        ("POST", "/v1/storage/clear", {"all": True}, 200),
    ]
    for method, path, body, status in calls:
        answer = await someone.send(method, path, body)
        assert answer.status_code == (status if method in allowed else 403), (method, path)


async def test_nobody_reaches_what_another_keeps(client: Client, person: MakePerson, database: Any) -> None:
    view = await keep(client)
    other = await person("other@example.org")
    path = f"/v1/storage/media/{view['medium_id']}"
    for method, address in (("GET", path), ("GET", f"{path}/content"), ("DELETE", path)):
        answer = await other.send(method, address)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await other.send("POST", "/v1/storage/clear", {"all": True})).json()["deleted_count"] == 0
    for address in ("/v1/storage", "/v1/storage/media", "/v1/storage/proofs"):
        assert view["medium_id"] not in (await other.get(address)).text
    assert await rows(database, "SELECT state, kept FROM media") == [("ready", True)]
