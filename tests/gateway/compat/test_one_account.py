"""All contracts and `/v1` share the same accounts, limits and history."""

from typing import Any

import pytest

from tests.fixtures.gateway import JPEG, MP4, PASSWORD, Client

pytestmark = pytest.mark.integration

EMAIL = "everywhere@example.org"


async def bearer(client: Client, name: dict[str, str]) -> dict[str, str]:
    answer = await client.http.post("/api/auth/login", json={**name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def test_an_account_of_the_key_and_quota_api_logs_in_everywhere(anonymous: Client) -> None:
    await anonymous.sign_up(EMAIL)
    headers = await bearer(anonymous, {"email": EMAIL})
    again = await bearer(anonymous, {"username": EMAIL})
    for one in (headers, again):
        assert (await anonymous.http.get("/auth/me", headers=one)).json()["email"] == EMAIL
    user = (await anonymous.http.get("/api/auth/me", headers=headers)).json()["user"]
    # It has no username; what it can log in by is shown in its place.
    assert user["username"] == EMAIL
    me = (await anonymous.http.get("/auth/me", headers=headers)).json()
    assert me["id"] == user["account_id"]


async def test_an_account_of_the_site_has_a_key_that_it_never_saw_and_can_regenerate(anonymous: Client) -> None:
    user = {"username": "ada", "email": EMAIL, "password": PASSWORD}
    assert (await anonymous.http.post("/api/auth/register", json=user)).status_code == 201
    credentials = {"email": EMAIL, "password": PASSWORD}
    prefix = (await anonymous.http.post("/login", json=credentials)).json()["api_key"]
    assert prefix.startswith("sk-live-")
    assert prefix.endswith("...")
    anonymous.key = (await anonymous.http.post("/regenerate-key", json=credentials)).json()["api_key"]
    assert (await anonymous.detect(path="/predict_image")).status_code == 200


async def test_one_limit_counts_whatever_the_contract(anonymous: Client, database: Any) -> None:
    await anonymous.sign_up(EMAIL)
    headers = await bearer(anonymous, {"email": EMAIL})
    await database.execute("UPDATE accounts SET daily_limit = 3")
    assert (await anonymous.detect(path="/predict_image")).status_code == 200
    assert (await anonymous.detect()).status_code == 200
    site = await anonymous.http.post("/api/detect/image", headers=headers, files={"image": ("a.jpg", JPEG)})
    assert site.status_code == 200
    usage = (await anonymous.get("/usage")).json()
    assert (usage["requests_today"], usage["remaining"], usage["rate_limit"]) == (3, 0, 3)
    # A token is as good as a key, and both are refused now.
    assert (await anonymous.http.get("/usage", headers=headers)).json() == usage
    assert (await anonymous.detect(MP4, path="/predict_video")).status_code == 429
    refused = await anonymous.http.post("/api/detect/video", headers=headers, files={"video": ("a.mp4", MP4)})
    assert refused.status_code == 429


async def test_one_history_holds_all(anonymous: Client) -> None:
    await anonymous.sign_up(EMAIL)
    headers = await bearer(anonymous, {"email": EMAIL})
    by_key = (await anonymous.detect(path="/predict_image")).json()["id"]
    by_token = await anonymous.http.post("/api/detect/video", headers=headers, files={"video": ("a.mp4", MP4)})
    listed = (await anonymous.get("/v1/detections")).json()["data"]
    assert [entry["id"] for entry in listed] == [by_token.json()["detection_id"], by_key]
    history = (await anonymous.http.get("/api/history", headers=headers)).json()["history"]
    assert [entry["detection_id"] for entry in history] == [entry["id"] for entry in listed]
    deleted = await anonymous.http.delete(f"/v1/detections/{by_key}", headers=headers)
    assert deleted.is_success
    assert (await anonymous.http.get("/api/history", headers=headers)).json()["count"] == 1
    assert (await anonymous.http.get("/api/stats", headers=headers)).json()["total_detections"] == 1


@pytest.mark.parametrize("path", ["/auth/me", "/api/auth/me"])
async def test_a_primary_key_does_not_tell_whose_it_is(member: Client, path: str) -> None:
    answer = await member.get(path)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "missing_scope"


async def test_a_new_account_has_one_hundred_detections_a_day(member: Client) -> None:
    usage = (await member.get("/usage")).json()
    assert (usage["rate_limit"], usage["remaining"], usage["total_requests"]) == (100, 100, 0)
