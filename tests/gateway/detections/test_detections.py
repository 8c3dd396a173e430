import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from bentos.contract import Detection, ErrorBody, Modality
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import JPEG, MP4, WAV, Client, eventually, make_account

pytestmark = pytest.mark.integration

MIB = 1024 * 1024
MEDIA = {Modality.IMAGE: JPEG, Modality.VIDEO: MP4, Modality.AUDIO: WAV}


def assert_problem(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["detail"]
    assert problem["title"]
    assert problem["type"] == f"urn:bonafide:problem:{code}"
    assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("modality", MEDIA)
async def test_a_file_gets_the_verdict_of_its_modality_with_all_that_reproduces_it(
    client: Client, bentos: dict[Modality, Script], modality: Modality
) -> None:
    data = MEDIA[modality]
    answer = await client.detect(data, name="../odd name.bin")
    assert answer.status_code == 200, answer.text
    view = answer.json()
    assert UUID(view["id"]).version == 7
    assert view["modality"] == modality
    assert view["verdict"] == "REAL"
    assert view["confidence"] == 88.0
    assert view["filename"] == "odd name.bin"
    assert view["size_bytes"] == len(data)
    assert view["status"] == "succeeded"
    assert view["created_at"] <= view["settled_at"]
    assert view["created_at"].endswith("Z")
    assert set(Detection.__struct_fields__) <= view.keys()
    assert bentos[modality].calls == [len(data)]


async def test_a_wrong_extension_over_right_bytes_is_judged_by_content(client: Client) -> None:
    assert (await client.detect(JPEG, name="film.mp4")).json()["modality"] == "image"


async def test_fields_may_come_before_or_after_the_file(client: Client) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + MP4 + b"\r\n"
    modality, model = part % (b"modality", b"audio"), part % (b"model", b"some_model")
    for body in (modality + model + file, file + modality + model):
        headers = client.headers() | {"content-type": "multipart/form-data; boundary=b"}
        answer = await client.http.post("/v1/detections", headers=headers, content=body + b"--b--\r\n")
        assert answer.status_code == 200, answer.text
        assert answer.json()["modality"] == "audio"
        assert answer.json()["model"] == "some_model"


async def test_the_key_may_come_as_a_bearer_token(client: Client) -> None:
    headers = {"authorization": f"Bearer {client.key}"}
    answer = await client.http.post("/v1/detections", headers=headers, files={"file": ("a", JPEG)})
    assert answer.status_code == 200


async def test_what_was_judged_reads_back_the_same(client: Client) -> None:
    view = (await client.detect()).json()
    assert (await client.get(f"/v1/detections/{view['id']}")).json() == view


async def test_a_refused_file_reads_back_as_failed_and_is_not_charged(
    client: Client, bentos: dict[Modality, Script]
) -> None:
    bentos[Modality.IMAGE].refusal = (400, ErrorBody(code="unreadable_media", message="It is damaged."))
    assert_problem(await client.detect(), 400, "unreadable_media")
    (entry,) = (await client.get("/v1/detections")).json()["data"]
    assert entry["status"] == "failed"
    assert entry["error"] == {"code": "unreadable_media", "message": "It is damaged."}
    assert (await client.get(f"/v1/detections/{entry['id']}")).json()["error"] == entry["error"]
    assert await client.used() == 0


async def test_another_accounts_detection_is_not_found(client: Client, database: Any) -> None:
    mine = (await client.detect()).json()["id"]
    client.key = await make_account(database, "other@example.org")
    assert_problem(await client.get(f"/v1/detections/{mine}"), 404, "not_found")
    assert_problem(await client.get(f"/v1/detections/{uuid4()}"), 404, "not_found")
    assert_problem(await client.get("/v1/detections/not-an-id"), 404, "not_found")
    assert (await client.get("/v1/detections")).json() == {"data": [], "next_cursor": None}


async def test_pages_follow_each_other_newest_first_while_new_ones_arrive(client: Client) -> None:
    ids = [(await client.detect()).json()["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params: dict[str, Any] = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/detections", params=params)).json()
        seen += [entry["id"] for entry in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        await client.detect()
    assert seen == ids[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=nonsense", "cursor=%00"])
async def test_a_bad_page_is_400(client: Client, query: str) -> None:
    answer = await client.get(f"/v1/detections?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert "ratelimit" in answer.headers


REFUSED_BEFORE_ADMISSION = [
    ({"files": {"file": ("a.jpg", b"")}}, 400, "empty_file"),
    ({"files": {"other": ("a.jpg", JPEG)}}, 400, "missing_file"),
    ({"files": {"other": ("a.jpg", JPEG * 1000)}}, 400, "missing_file"),
    ({"files": [("file", ("a.jpg", JPEG)), ("file", ("b.jpg", JPEG))]}, 400, "invalid_body"),
    ({"json": {"file": "x"}}, 400, "invalid_body"),
    ({}, 400, "invalid_body"),
    ({"content": b"--b\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, "invalid_body"),
    ({"content": b"", "headers": {"content-type": "multipart/form-data"}}, 400, "invalid_body"),
    ({"files": {"file": ("a.mp4", b"text called a film")}}, 415, "unsupported_media_type"),
    ({"files": {"file": ("a.pdf", b"%PDF-1.7 ...")}}, 415, "unsupported_media_type"),
    ({"files": {"file": ("a.mp4", MP4)}, "data": {"modality": "image"}}, 415, "unsupported_media_type"),
    ({"files": {"file": ("a.jpg", JPEG)}, "data": {"modality": "smell"}}, 400, "invalid_modality"),
    ({"files": {"file": ("a.jpg", JPEG)}, "data": {"modality": "text"}}, 415, "unsupported_media_type"),
    ({"files": {"file": ("a.txt", b"")}}, 400, "empty_file"),
    ({"content": b"", "headers": {"content-type": "text/plain"}}, 400, "empty_file"),
    ({"content": b"x" * (MIB + 1), "headers": {"content-type": "text/plain"}}, 413, "media_too_large"),
    ({"content": b"x", "headers": {"content-type": "text/plain; charset=latin-1"}}, 415, "unsupported_media_type"),
    ({"content": b"x", "headers": {"content-type": "text/html"}}, 400, "invalid_body"),
    ({"json": {"text": ""}}, 400, "empty_file"),
    ({"json": {"text": "x" * (MIB + 1)}}, 413, "media_too_large"),
    ({"json": {"text": "x", "modality": "image"}}, 400, "invalid_body"),
    ({"content": b'{"text": "\\ud800"}', "headers": {"content-type": "application/json"}}, 400, "invalid_body"),
    ({"files": {"file": ("a.jpg", JPEG)}, "data": {"model": "../etc"}}, 400, "invalid_model"),
    ({"files": {"file": ("a.jpg", JPEG)}, "data": {"model": "x" * 5000}}, 400, "invalid_body"),
    ({"files": {"file": ("a.jpg", JPEG + b"\x00" * 11 * MIB)}}, 413, "media_too_large"),
    ({"files": {"file": ("a.mp4", MP4)}, "data": {f"x{number}": "" for number in range(40)}}, 400, "invalid_body"),
]


@pytest.mark.parametrize(
    ("request_", "status", "code"), REFUSED_BEFORE_ADMISSION, ids=range(len(REFUSED_BEFORE_ADMISSION))
)
async def test_what_is_refused_before_it_is_admitted_costs_nothing_and_leaves_nothing(
    client: Client, gateway_settings: GatewaySettings, request_: dict[str, Any], status: int, code: str
) -> None:
    headers = client.headers() | request_.get("headers", {})
    answer = await client.http.post("/v1/detections", **(request_ | {"headers": headers}))
    assert_problem(answer, status, code)
    assert "ratelimit" in answer.headers
    assert await client.used() == 0
    assert (await client.get("/v1/detections")).json()["data"] == []
    assert list(gateway_settings.spool.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "code"),
    [(None, "missing_api_key"), ("", "missing_api_key"), ("sk-live-1", "invalid_api_key")],
)
async def test_without_a_valid_key_every_keyed_route_is_401(anonymous: Client, key: str | None, code: str) -> None:
    anonymous.key = key
    for path in ("/v1/detections", "/v1/detections?limit=0", f"/v1/detections/{uuid4()}", "/v1/usage", "/v1/models"):
        answer = await anonymous.get(path)
        assert_problem(answer, 401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert_problem(await anonymous.detect(), 401, code)
    assert_problem(await anonymous.detect(b""), 401, code)


async def test_a_well_formed_key_that_nobody_has_is_401_and_writes_nothing(
    client: Client, database: Any, gateway_settings: GatewaySettings
) -> None:
    await database.execute("UPDATE api_keys SET revoked_at = now()")
    assert_problem(await client.detect(), 401, "invalid_api_key")
    assert_problem(await client.detect(MP4 + b"\x00" * 9 * MIB), 401, "invalid_api_key")
    assert list(gateway_settings.spool.iterdir()) == []
    assert await (await database.execute("SELECT FROM detections")).fetchall() == []


async def test_a_suspended_account_is_refused_at_once(client: Client, database: Any) -> None:
    assert (await client.detect()).status_code == 200
    await database.execute("UPDATE accounts SET status = 'suspended'")
    assert_problem(await client.detect(), 403, "account_suspended")
    assert_problem(await client.get("/v1/usage"), 403, "account_suspended")


REFUSALS = [
    (400, "unreadable_media", 400),
    (400, "no_frames", 400),
    (413, "too_many_pixels", 413),
    (415, "unsupported_media_type", 415),
    (404, "unknown_model", 400),
    (503, "inference_unavailable", 503),
    (503, "overloaded", 503),
    (504, "deadline_exceeded", 504),
    (401, "unauthorized", 500),
    (500, "detection_failed", 502),
]


@pytest.mark.parametrize(("status", "code", "expected"), REFUSALS)
async def test_what_a_bento_refuses_is_passed_on_and_refunded(
    client: Client, bentos: dict[Modality, Script], status: int, code: str, expected: int
) -> None:
    bentos[Modality.IMAGE].refusal = (status, ErrorBody(code=code, message="Because."))
    ours = code if expected < 500 or status in {503, 504} else "inference_failed"
    answer = await client.detect()
    assert_problem(answer, expected, ours)
    assert ("retry-after" in answer.headers) == (expected == 503)
    assert '"daily";r=100;' in answer.headers["ratelimit"]
    assert await client.used() == 0


async def test_a_bento_that_is_too_slow_is_504_and_refunded(
    client: Client, bentos: dict[Modality, Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.detections.client._DEADLINE_MARGIN_S", -24.8)
    bentos[Modality.IMAGE].delay_s = 1
    assert_problem(await client.detect(), 504, "deadline_exceeded")
    assert await client.used() == 0


async def test_limits_are_told_on_every_answer_of_a_keyed_call(client: Client) -> None:
    first = await client.detect()
    assert first.headers["ratelimit-policy"] == '"daily";q=100;w=86400, "burst";q=100;w=60'
    assert '"daily";r=99;' in first.headers["ratelimit"]
    for answer in (await client.get("/v1/usage"), await client.get("/v1/models"), await client.detect(b"")):
        assert '"daily";r=99;' in answer.headers["ratelimit"]


async def test_over_the_daily_limit_is_429_until_midnight(client: Client, database: Any) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 1")
    assert (await client.detect()).status_code == 200
    answer = await client.detect()
    assert_problem(answer, 429, "quota_exceeded")
    assert '"daily";r=0;' in answer.headers["ratelimit"]
    assert 0 < int(answer.headers["retry-after"]) <= 86400
    assert len((await client.get("/v1/detections")).json()["data"]) == 1


async def test_over_the_burst_limit_is_429_until_the_next_slot_and_costs_nothing(client: Client, database: Any) -> None:
    await database.execute("UPDATE accounts SET burst_limit = 2, burst_period_s = 60")
    assert [(await client.detect()).status_code for _ in range(2)] == [200, 200]
    answer = await client.detect()
    assert_problem(answer, 429, "burst_exceeded")
    assert 25 <= int(answer.headers["retry-after"]) <= 30
    assert '"burst";r=0;' in answer.headers["ratelimit"]
    assert await client.used() == 2
    await database.execute("UPDATE meters SET arrival_at = arrival_at - interval '30 s'")
    assert (await client.detect()).status_code == 200


async def test_an_account_without_limits_has_none(client: Client, database: Any) -> None:
    client.key = await make_account(database, "free@example.org", daily_limit=None, burst_limit=None)
    answer = await client.detect()
    assert answer.status_code == 200
    assert "ratelimit" not in answer.headers
    usage = (await client.get("/v1/usage")).json()
    assert usage["day"]["limit"] is None
    assert usage["day"]["used"] == 1
    assert usage["burst"] is None


async def test_exactly_the_daily_limit_passes_when_all_come_at_once(client: Client, database: Any) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 20, burst_limit = NULL")
    answers = await asyncio.gather(*(client.detect() for _ in range(60)))
    assert sorted(answer.status_code for answer in answers) == [200] * 20 + [429] * 40
    assert await client.used() == 20


async def test_failures_are_refunded_exactly_when_all_come_at_once(
    client: Client, bentos: dict[Modality, Script], database: Any
) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 20, burst_limit = NULL")
    bentos[Modality.IMAGE].refusal = (400, ErrorBody(code="unreadable_media", message="No."))
    await asyncio.gather(*(client.detect() for _ in range(40)))
    assert await client.used() == 0


async def test_a_refund_goes_to_the_day_that_was_charged(
    client: Client, bentos: dict[Modality, Script], database: Any
) -> None:
    bentos[Modality.IMAGE].refusal = (400, ErrorBody(code="unreadable_media", message="No."))
    bentos[Modality.IMAGE].delay_s = 0.5
    running = asyncio.create_task(client.detect())
    await asyncio.sleep(0.2)
    await database.execute("UPDATE meters SET day = day - 1")
    await database.execute("UPDATE detections SET charged_on = charged_on - 1")
    await running
    assert await (await database.execute("SELECT charged FROM meters")).fetchall() == [(0,)]


async def test_large_media_go_by_reference_and_their_file_is_removed(
    client: Client, bentos: dict[Modality, Script], gateway_settings: GatewaySettings
) -> None:
    data = MP4 + b"\x00" * 9 * MIB
    bentos[Modality.VIDEO].delay_s = 0.3
    running = asyncio.create_task(client.detect(data))

    async def arrived() -> bool:
        return bool(bentos[Modality.VIDEO].calls)

    await eventually(arrived)
    (file,) = gateway_settings.spool.iterdir()
    assert file.stat().st_size == len(data)
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await running).status_code == 200
    assert bentos[Modality.VIDEO].calls == [len(data)]
    assert list(gateway_settings.spool.iterdir()) == []


async def test_models_are_asked_from_the_bentos(client: Client) -> None:
    answer = (await client.get("/v1/models")).json()
    assert [model["name"] for model in answer["models"]] == ["image_fake", "video_fake", "audio_fake", "text_fake"]
    assert answer["unavailable"] == []


async def test_the_last_use_of_a_key_is_recorded_soon(client: Client, database: Any) -> None:
    await client.detect()

    async def recorded() -> bool:
        return (await (await database.execute("SELECT last_used_at FROM api_keys")).fetchone())[0] is not None

    await eventually(recorded)


async def test_the_answer_is_stored_whole(client: Client, database: Any) -> None:
    view = (await client.detect()).json()
    row = await (await database.execute("SELECT answer, key_id IS NOT NULL, request_id FROM detections")).fetchone()
    assert row[0].items() <= json.loads(json.dumps(view)).items()
    assert row[1]
    assert row[2]
