"""Contract A, spoken as its document says, by clients that know nothing of our code."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from bentos.contract import ErrorBody, Modality
from gateway.detections.fakes import Script
from tests.fixtures.gateway import EMAIL, JPEG, MP4, PASSWORD, WAV, Client

pytestmark = pytest.mark.integration

CREDENTIALS = {"email": EMAIL, "password": PASSWORD}
MEDIA = {Modality.IMAGE: JPEG, Modality.VIDEO: MP4, Modality.AUDIO: WAV}
KEY = re.compile(r"sk-live-[0-9a-f]{48}")


def assert_common_error(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["success"] is False
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert body["message"]
    assert {"type", "message", "code", "requestId"} <= body["error"].keys()
    assert body["error"]["requestId"] == answer.headers["x-request-id"]


async def test_the_root_is_health_and_public(anonymous: Client) -> None:
    answer = await anonymous.http.get("/")
    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"


async def test_signup_shows_the_full_key_once_and_login_only_its_prefix(anonymous: Client) -> None:
    signup = await anonymous.http.post("/signup", json=CREDENTIALS)
    assert signup.status_code == 200
    key = signup.json()["api_key"]
    assert KEY.fullmatch(key)
    login = await anonymous.http.post("/login", json=CREDENTIALS)
    assert login.status_code == 200
    assert login.json()["api_key"] == key[:16] + "..."
    assert key not in login.text


async def test_the_regenerated_key_works_and_the_old_one_is_dead_at_once(member: Client) -> None:
    old = member.key
    answer = await member.http.post("/regenerate-key", json=CREDENTIALS)
    assert answer.status_code == 200
    new = answer.json()["api_key"]
    assert KEY.fullmatch(new)
    assert new != old
    assert_common_error(await member.detect(path="/predict_image"), 401)
    assert_common_error(await member.get("/usage"), 401)
    member.key = new
    assert (await member.detect(path="/predict_image")).status_code == 200


@pytest.mark.parametrize("path", ["/login", "/regenerate-key"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"email": EMAIL, "password": "not the password"},
        {"email": "nobody@example.org", "password": PASSWORD},
        {"email": "no address", "password": PASSWORD},
    ],
)
async def test_a_wrong_password_or_an_unknown_email_is_401(member: Client, path: str, wrong: dict[str, str]) -> None:
    assert_common_error(await member.http.post(path, json=wrong), 401)


async def test_the_email_is_one_account_in_whatever_case(member: Client) -> None:
    again = {"email": EMAIL.upper(), "password": PASSWORD}
    assert_common_error(await member.http.post("/signup", json=again), 400)
    assert (await member.http.post("/login", json=again)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": EMAIL},
        {"email": "no address", "password": PASSWORD},
        {"email": "two@at@signs.org", "password": PASSWORD},
        {"email": "nul\x00@example.org", "password": PASSWORD},
        {"email": EMAIL, "password": "short"},
        {"email": EMAIL, "password": "x" * 300},
        {"email": EMAIL, "password": 12345678},
        {"email": EMAIL, "password": PASSWORD, "daily_limit": 1000000},
        [],
        "text",
    ],
)
async def test_a_bad_body_at_signup_is_400(anonymous: Client, body: object) -> None:
    assert_common_error(await anonymous.http.post("/signup", json=body), 400)


@pytest.mark.parametrize("content", [b"", b"{", b'{"email": "\\ud800@x.org", "password": "12345678"}', b"\xff\xfe"])
async def test_what_is_no_json_at_signup_is_400(anonymous: Client, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    assert_common_error(await anonymous.http.post("/signup", content=content, headers=headers), 400)


async def test_usage_counts_today_and_ever(client: Client) -> None:
    before = (await client.get("/usage")).json()
    assert before["requests_today"] == 0
    assert before["remaining"] == 100
    assert before["rate_limit"] == 100
    assert before["total_requests"] == 0
    await client.detect(path="/predict_image")
    after = (await client.get("/usage")).json()
    assert after["requests_today"] == 1
    assert after["remaining"] == 99
    assert after["total_requests"] == 1
    assert after["last_request_date"] == datetime.now(UTC).date().isoformat()


@pytest.mark.parametrize("modality", MEDIA)
async def test_prediction_is_decided_at_one_half(
    client: Client, bentos: dict[Modality, Script], modality: Modality
) -> None:
    for p_fake, prediction, confidence in [(0.12, "REAL", 88.0), (0.4999, "REAL", 50.01), (0.5, "FAKE", 50.0)]:
        bentos[modality].p_fake = p_fake
        answer = await client.detect(MEDIA[modality], path=f"/predict_{modality}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["prediction"] == prediction
        assert answer.json()["confidence"] == confidence
        assert answer.json()["verdict"] in {"REAL", "FAKE", "UNCERTAIN"}


async def test_a_video_sent_as_an_image_is_400_and_costs_nothing(client: Client) -> None:
    assert_common_error(await client.detect(MP4, path="/predict_image", name="a.jpg"), 400)
    assert await client.used() == 0


async def test_bad_media_are_400_and_cost_nothing(client: Client, bentos: dict[Modality, Script]) -> None:
    bentos[Modality.IMAGE].refusal = (415, ErrorBody(code="unsupported_media_type", message="Not one of ours."))
    answer = await client.detect(b"text called an image", path="/predict_image", name="a.jpg")
    assert_common_error(answer, 400)
    assert answer.json()["detail"] == "Not one of ours."
    assert await client.used() == 0


async def test_too_large_is_413(client: Client) -> None:
    assert_common_error(await client.detect(JPEG + b"\x00" * 10 * 1024 * 1024, path="/predict_image"), 413)


@pytest.mark.parametrize("key", [None, "sk-live-nonsense", "sk-live-" + "0" * 48])
@pytest.mark.parametrize("path", ["/predict_image", "/predict_video", "/predict_audio"])
async def test_without_a_valid_key_it_is_401(anonymous: Client, path: str, key: str | None) -> None:
    anonymous.key = key
    assert_common_error(await anonymous.detect(path=path), 401)


async def test_over_the_limit_is_429(client: Client, database: Any) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 2")
    assert (await client.detect(path="/predict_image")).status_code == 200
    assert (await client.detect(path="/predict_image")).status_code == 200
    answer = await client.detect(path="/predict_image")
    assert_common_error(answer, 429)
    assert 0 < int(answer.headers["retry-after"]) <= 86400
    assert (await client.get("/usage")).json()["remaining"] == 0


async def test_a_missing_file_is_400(client: Client) -> None:
    headers = client.headers()
    empty = await client.http.post("/predict_image", headers=headers, files={"other": ("a.jpg", JPEG)})
    assert_common_error(empty, 400)
    assert_common_error(await client.http.post("/predict_image", headers=headers), 400)
    assert_common_error(await client.detect(b"", path="/predict_image"), 400)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/signup", 405)])
async def test_other_paths_and_methods_have_the_same_error_body(
    anonymous: Client, method: str, path: str, status: int
) -> None:
    assert_common_error(await anonymous.http.request(method, path), status)
