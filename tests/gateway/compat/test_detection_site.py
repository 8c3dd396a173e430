"""Contract B, spoken as its document says, by a client that knows nothing of our code."""

import base64
import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest

from bentos.contract import ErrorBody, Modality
from gateway.app import build_app
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import JPEG, MP4, WAV, Client, running_app

pytestmark = pytest.mark.integration

MIB = 1024 * 1024
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
USER = {"username": "ada", "email": "ada@example.org", "password": "a long enough password"}
INSTALLED = {
    "dima806": "Dima806 Deepfake Detector",
    "deep-fake-v2": "Deep Fake Detector v2",
    "open-deepfake-detection": "Open Deepfake Detection",
}


class Site:
    """A client of the detection site as its authors would write it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.token = ""

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def register(self, **user: str) -> httpx.Response:
        return await self.http.post("/api/auth/register", json={**USER, **user})

    async def login(self, username: str = "ada", password: str = USER["password"]) -> httpx.Response:
        answer = await self.http.post("/api/auth/login", json={"username": username, "password": password})
        if answer.status_code == 200:
            self.token = answer.json()["access_token"]
        return answer

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(path, headers=self.bearer)

    async def image(self, data: bytes = JPEG, **fields: str) -> httpx.Response:
        files = {"image": ("face.jpg", data, "image/jpeg")}
        return await self.http.post("/api/detect/image", headers=self.bearer, files=files, data=fields)

    async def video(self, data: bytes = MP4, **fields: str) -> httpx.Response:
        files = {"video": ("clip.mp4", data, "video/mp4")}
        return await self.http.post("/api/detect/video", headers=self.bearer, files=files, data=fields)

    async def camera(self, data: bytes = JPEG, kind: str = "jpeg", **fields: str) -> httpx.Response:
        image = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        return await self.http.post("/api/detect/camera", headers=self.bearer, json={"image": image, **fields})


@pytest.fixture
async def visitor(anonymous: Client) -> Site:
    return Site(anonymous.http)


@pytest.fixture
async def site(visitor: Site) -> Site:
    """The site's client, of a user who is logged in."""
    assert (await visitor.register()).status_code == 201
    assert (await visitor.login()).status_code == 200
    return visitor


def assert_error(answer: httpx.Response, status: int) -> None:
    """Every error has the one body that all the clients can read."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["success"] is False
    assert body["message"]
    assert body["detail"]
    assert {"type", "message", "code", "requestId"} <= body["error"].keys()


def assert_verdict(body: dict[str, Any], *, is_fake: bool, confidence: float) -> None:
    assert body["success"] is True
    assert body["is_fake"] is is_fake
    assert body["confidence"] == confidence
    assert isinstance(body["model_used"], str)


async def test_register_answers_201_and_a_user_with_a_whole_number_as_id(visitor: Site) -> None:
    answer = await visitor.register()
    assert answer.status_code == 201
    body = answer.json()
    assert body["success"] is True
    assert body["message"]
    assert type(body["user"]["id"]) is int
    assert (body["user"]["username"], body["user"]["email"]) == ("ada", "ada@example.org")
    assert "password" not in answer.text


@pytest.mark.parametrize("taken", [{"email": "other@example.org"}, {"username": "other"}, {"username": "ADA"}])
async def test_a_name_that_is_taken_is_refused(visitor: Site, taken: dict[str, str]) -> None:
    await visitor.register()
    assert_error(await visitor.register(**taken), 400)


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": "no address"},
        {"password": "short"},
        {"username": "a b"},
        {"username": "ada@example.org"},
        {"role": "super_admin"},
    ],
)
async def test_a_bad_registration_is_400(visitor: Site, wrong: dict[str, str]) -> None:
    assert_error(await visitor.register(**wrong), 400)


async def test_login_answers_a_token_that_lives_for_24_hours(visitor: Site) -> None:
    await visitor.register()
    answer = await visitor.login()
    assert answer.status_code == 200
    body = answer.json()
    assert body["success"] is True
    assert body["user"]["username"] == "ada"
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 24 * 3600
    assert claims["exp"] - time.time() == pytest.approx(24 * 3600, abs=30)


async def test_the_token_is_good_for_24_hours_however_short_sessions_are(
    gateway_settings: GatewaySettings, bentos: dict[Modality, Script], database: Any
) -> None:
    assert bentos
    hasty = gateway_settings.model_copy(update={"refresh_token_s": 3600, "access_token_s": 60})
    async with running_app(build_app(hasty)) as app:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            visitor = Site(http)
            await visitor.register()
            assert (await visitor.login()).json()["expires_in"] == 24 * 3600
            await database.execute("UPDATE sessions SET expires_at = expires_at - interval '23 hours'")
            assert (await visitor.get("/api/stats")).status_code == 200
            await database.execute("UPDATE sessions SET expires_at = expires_at - interval '2 hours'")
            assert_error(await visitor.get("/api/stats"), 401)


async def test_login_also_takes_the_email_as_the_username(visitor: Site) -> None:
    await visitor.register()
    assert (await visitor.login("ADA@example.org")).status_code == 200


@pytest.mark.parametrize("who", [("ada", "not the password"), ("nobody", USER["password"]), ("", "")])
async def test_a_wrong_login_is_401(visitor: Site, who: tuple[str, str]) -> None:
    await visitor.register()
    answer = await visitor.login(*who)
    assert_error(answer, 400 if who[0] == "" else 401)


async def test_too_many_wrong_logins_are_429(visitor: Site) -> None:
    answers = [await visitor.login("somebody", "not the password") for _ in range(8)]
    assert_error(answers[0], 401)
    assert_error(answers[-1], 429)
    assert int(answers[-1].headers["retry-after"]) >= 1


async def test_me_answers_the_user_of_the_token(site: Site) -> None:
    answer = await site.get("/api/auth/me")
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    assert answer.json()["user"]["email"] == "ada@example.org"


async def test_the_models_are_public_and_have_keys(visitor: Site, bentos: dict[Modality, Script]) -> None:
    bentos[Modality.IMAGE].models = {"image_fake": "Fake", **INSTALLED}
    bentos[Modality.VIDEO].models = {"video_fake": "Fake video", **INSTALLED}
    answer = await visitor.http.get("/api/detect/models")
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    models = answer.json()["models"]
    assert {"key", "name", "description"} <= models[0].keys()
    assert {model["key"]: model["name"] for model in models} == {
        "image_fake": "Fake",
        "video_fake": "Fake video",
        **INSTALLED,
    }
    assert len(models) == 5


async def test_an_image_gets_a_verdict(site: Site, bentos: dict[Modality, Script]) -> None:
    bentos[Modality.IMAGE].p_fake = 0.87654
    answer = await site.image()
    assert answer.status_code == 200, answer.text
    assert_verdict(answer.json(), is_fake=True, confidence=87.65)
    assert type(answer.json()["image_id"]) is int
    assert answer.json()["model_used"] == "Fake"


async def test_a_video_gets_a_verdict(site: Site, bentos: dict[Modality, Script]) -> None:
    bentos[Modality.VIDEO].p_fake = 0.1
    answer = await site.video()
    assert answer.status_code == 200, answer.text
    assert_verdict(answer.json(), is_fake=False, confidence=90.0)
    assert type(answer.json()["video_id"]) is int


@pytest.mark.parametrize(("p_fake", "is_fake"), [(0.4999, False), (0.5, True)])
async def test_fake_begins_at_one_half(
    site: Site, bentos: dict[Modality, Script], p_fake: float, is_fake: bool
) -> None:
    bentos[Modality.IMAGE].p_fake = p_fake
    assert (await site.image()).json()["is_fake"] is is_fake


@pytest.mark.parametrize("key", INSTALLED)
async def test_the_model_that_is_asked_for_judges_images_and_videos_where_it_is_installed(
    site: Site, bentos: dict[Modality, Script], key: str
) -> None:
    # What judges images judges videos by their frames, so the video Bento lists it too.
    for modality in (Modality.IMAGE, Modality.VIDEO):
        bentos[modality].models = {f"{modality}_fake": "Fake", **INSTALLED}
    await fresh_catalogue(site, "dima806")
    for call in (site.image, site.video, site.camera):
        assert (await call(model=key)).json()["model_used"] == INSTALLED[key]


async def test_without_a_model_the_usual_one_of_these_clients_judges_where_it_is_installed(
    site: Site, bentos: dict[Modality, Script]
) -> None:
    for modality in (Modality.IMAGE, Modality.VIDEO):
        bentos[modality].models = {f"{modality}_fake": "Fake", **INSTALLED}
    await fresh_catalogue(site, "dima806")
    assert (await site.image()).json()["model_used"] == INSTALLED["dima806"]
    assert (await site.video()).json()["model_used"] == INSTALLED["dima806"]
    assert (await site.camera()).json()["model_used"] == INSTALLED["deep-fake-v2"]


@pytest.mark.parametrize("key", [*INSTALLED, "nobody/knows-this"])
async def test_a_model_that_is_not_installed_is_answered_by_the_default_and_says_so(site: Site, key: str) -> None:
    for call in (site.image, site.video, site.camera):
        answer = await call(model=key)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model_used"] == "Fake"


async def fresh_catalogue(site: Site, key: str) -> None:
    """Wait until the gateway has asked the Bentos again."""
    deadline = time.monotonic() + 15
    while key not in {model["key"] for model in (await site.get("/api/detect/models")).json()["models"]}:
        assert time.monotonic() < deadline


@pytest.mark.parametrize(("kind", "data"), [("jpeg", JPEG), ("jpg", JPEG), ("png", PNG)])
async def test_a_camera_frame_gets_a_verdict(
    site: Site, bentos: dict[Modality, Script], kind: str, data: bytes
) -> None:
    bentos[Modality.IMAGE].p_fake = 0.9
    answer = await site.camera(data, kind)
    assert answer.status_code == 200, answer.text
    assert_verdict(answer.json(), is_fake=True, confidence=90.0)


async def test_one_odd_camera_frame_does_not_turn_the_verdict_and_many_do(
    site: Site, bentos: dict[Modality, Script]
) -> None:
    bentos[Modality.IMAGE].p_fake = 0.1
    for _ in range(4):
        assert (await site.camera()).json()["is_fake"] is False
    bentos[Modality.IMAGE].p_fake = 0.99
    odd = (await site.camera()).json()
    assert odd["is_fake"] is False
    assert odd["confidence"] < 90
    assert (odd["frame"]["is_fake"], odd["frames"]) == (True, 5)
    for _ in range(6):
        last = (await site.camera()).json()
    assert last["is_fake"] is True


async def test_camera_frames_of_others_and_uploads_do_not_count(
    site: Site, visitor: Site, bentos: dict[Modality, Script]
) -> None:
    bentos[Modality.IMAGE].p_fake = 0.05
    for _ in range(3):
        await site.camera()
        await site.image()
    other = Site(visitor.http)
    await other.register(username="eve", email="eve@example.org")
    await other.login("eve")
    bentos[Modality.IMAGE].p_fake = 0.8
    answer = (await other.camera()).json()
    assert_verdict(answer, is_fake=True, confidence=80.0)
    assert answer["frames"] == 1


@pytest.mark.parametrize(
    "image",
    [
        "",
        "data:image/jpeg;base64,",
        "data:image/jpeg;base64,not base64!",
        "data:image/jpeg;base64,/9j/4AA",
        "data:image/jpeg;base64,ÿØÿà",
        "data:image/gif;base64," + base64.b64encode(b"GIF89a" + b"\0" * 100).decode(),
        "data:image/jpeg;base64," + base64.b64encode(MP4).decode(),
        "data:image/jpeg," + "abc",
        "https://example.org/a.jpg",
        base64.b64encode(JPEG).decode(),
    ],
)
async def test_a_camera_frame_that_is_no_picture_is_400_and_costs_nothing(site: Site, image: str) -> None:
    answer = await site.http.post("/api/detect/camera", headers=site.bearer, json={"image": image})
    assert_error(answer, 400)
    assert (await site.get("/usage")).json()["requests_today"] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": "dima806"}', b'{"image": 5}'])
async def test_a_camera_body_that_is_no_such_json_is_400(site: Site, body: bytes) -> None:
    headers = {**site.bearer, "content-type": "application/json"}
    assert_error(await site.http.post("/api/detect/camera", headers=headers, content=body), 400)


async def test_the_limits_are_10_mb_for_pictures_and_100_mb_for_videos(site: Site) -> None:
    room = 10 * MIB - len(JPEG)
    assert (await site.image(JPEG + b"\0" * room)).status_code == 200
    assert_error(await site.image(JPEG + b"\0" * (room + 1)), 413)
    assert (await site.camera(JPEG + b"\0" * room)).status_code == 200
    assert_error(await site.camera(JPEG + b"\0" * (room + 1)), 413)
    assert_error(await site.camera(JPEG + b"\0" * (room + 2 * MIB)), 413)
    room = 100 * MIB - len(MP4)
    assert (await site.video(MP4 + b"\0" * room)).status_code == 200
    assert_error(await site.video(MP4 + b"\0" * (room + 1)), 413)


async def test_types_are_checked(site: Site, bentos: dict[Modality, Script]) -> None:
    assert_error(await site.image(MP4), 400)
    assert_error(await site.image(WAV), 400)
    assert_error(await site.video(JPEG), 400)
    bentos[Modality.IMAGE].refusal = (415, ErrorBody(code="unsupported_media_type", message="No picture."))
    assert_error(await site.image(b"a text that is called a picture"), 400)
    assert_error(await site.image(b""), 400)


async def test_a_missing_field_is_400(site: Site) -> None:
    files = {"file": ("face.jpg", JPEG, "image/jpeg")}
    assert_error(await site.http.post("/api/detect/image", headers=site.bearer, files=files), 400)
    assert_error(await site.http.post("/api/detect/video", headers=site.bearer, files=files), 400)
    assert_error(await site.http.post("/api/detect/image", headers=site.bearer), 400)


CALLS: list[Callable[[Site], Any]] = [
    lambda site: site.image(),
    lambda site: site.video(),
    lambda site: site.camera(),
    lambda site: site.get("/api/history"),
    lambda site: site.get("/api/stats"),
    lambda site: site.get("/api/auth/me"),
]


@pytest.mark.parametrize("call", CALLS)
async def test_without_a_valid_token_it_is_401(site: Site, call: Callable[[Site], Any]) -> None:
    head, body, _ = site.token.split(".")
    for token in ("", "nonsense", f"{head}.{body}.AAAA", jwt.encode({"sub": "1"}, "k" * 32)):
        site.token = token
        assert_error(await call(site), 401)


async def test_over_the_daily_limit_it_is_429(site: Site, database: Any) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 2")
    assert (await site.image()).status_code == 200
    assert (await site.camera()).status_code == 200
    for answer in (await site.image(), await site.video(), await site.camera()):
        assert_error(answer, 429)
        assert 0 < int(answer.headers["retry-after"]) <= 86400


async def test_history_lists_images_videos_and_camera_frames_newest_first(
    site: Site, bentos: dict[Modality, Script]
) -> None:
    bentos[Modality.VIDEO].p_fake = 0.9
    image = (await site.image()).json()
    video = (await site.video()).json()
    await site.camera()
    answer = await site.get("/api/history")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["success"], body["count"]) == (True, 3)
    camera_row, video_row, image_row = body["history"]
    assert [row["detection_type"] for row in body["history"]] == ["camera", "video", "image"]
    assert (image_row["content_id"], video_row["content_id"]) == (image["image_id"], video["video_id"])
    assert (image_row["is_fake"], video_row["is_fake"]) == (False, True)
    assert (image_row["confidence"], video_row["confidence"]) == (88.0, 90.0)
    assert (image_row["filename"], video_row["filename"]) == ("face.jpg", "clip.mp4")
    assert all(re.match(r"\d{4}-\d\d-\d\dT", row["created_at"]) for row in body["history"])
    assert all(row["model_version"] for row in body["history"])
    assert video_row["duration"] == 1.0
    assert video_row["thumbnail"].startswith("data:image/jpeg;base64,")
    assert base64.b64decode(video_row["thumbnail"].partition(",")[2])[:2] == b"\xff\xd8"
    assert (image_row["duration"], camera_row["thumbnail"]) == (None, None)


async def test_history_is_ones_own_and_goes_on_by_cursor(site: Site, visitor: Site) -> None:
    other = Site(visitor.http)
    await other.register(username="eve", email="eve@example.org")
    await other.login("eve")
    await other.image()
    numbers = [(await site.image()).json()["image_id"] for _ in range(5)]
    seen: list[int] = []
    cursor = ""
    while cursor is not None:
        body = (await site.get(f"/api/history?limit=2{cursor and '&cursor=' + cursor}")).json()
        assert body["count"] == len(body["history"])
        seen += [row["content_id"] for row in body["history"]]
        cursor = body["next_cursor"]
    assert seen == numbers[::-1]
    assert_error(await site.get("/api/history?cursor=nonsense"), 400)
    assert_error(await site.get("/api/history?limit=0"), 400)


async def test_stats_add_up_and_accuracy_comes_from_feedback(site: Site, bentos: dict[Modality, Script]) -> None:
    empty = (await site.get("/api/stats")).json()
    assert empty["success"] is True
    assert (empty["total_detections"], empty["fake_count"], empty["real_count"]) == (0, 0, 0)
    assert (empty["accuracy"], empty["rated_count"]) == (0.0, 0)
    verdicts: list[dict[str, Any]] = []
    for p_fake in (0.1, 0.5, 0.9):
        bentos[Modality.IMAGE].p_fake = p_fake
        verdicts.append((await site.image()).json())
    for verdict, label in zip(verdicts, ("real", "real", "fake"), strict=True):
        path = f"/v1/detections/{verdict['detection_id']}/feedback"
        assert (await site.http.put(path, headers=site.bearer, json={"label": label})).status_code == 200
    body = (await site.get("/api/stats")).json()
    assert (body["total_detections"], body["fake_count"], body["real_count"]) == (3, 2, 1)
    assert (body["accuracy"], body["rated_count"]) == (66.67, 3)


async def test_what_failed_is_neither_listed_nor_counted(site: Site, bentos: dict[Modality, Script]) -> None:
    bentos[Modality.IMAGE].refusal = (503, ErrorBody(code="overloaded", message="Too many."))
    answer = await site.image()
    assert_error(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1
    assert (await site.get("/api/history")).json()["history"] == []
    assert (await site.get("/api/stats")).json()["total_detections"] == 0


@pytest.mark.parametrize("origin", [f"http://localhost:{port}" for port in (5173, 3000, 3001, 8501)])
async def test_browsers_may_call_from_where_these_clients_run(visitor: Site, origin: str) -> None:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, x-api-key, content-type",
    }
    preflight = await visitor.http.options("/api/detect/image", headers=asked)
    assert preflight.status_code in {200, 204}
    assert preflight.headers["access-control-allow-origin"] == origin
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "x-api-key" in allowed
    refused = await visitor.http.get("/api/history", headers={"origin": origin})
    assert_error(refused, 401)
    assert refused.headers["access-control-allow-origin"] == origin
    elsewhere = await visitor.http.get("/api/history", headers={"origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in elsewhere.headers
