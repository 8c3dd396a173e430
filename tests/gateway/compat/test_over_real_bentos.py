"""The detection site over real Bentos and a real Triton: what its clients see of a real picture and a real clip."""

import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from PIL import Image

from gateway.app import build_app
from gateway.settings import GatewaySettings
from tests.fixtures import media
from tests.fixtures.detectors import BENTO_TOKEN, REFERENCE_KEY, RunningBento
from tests.fixtures.gateway import running_app

pytestmark = pytest.mark.integration

USER = {"username": "ada", "email": "ada@example.org", "password": "a long enough password"}


@pytest.fixture
async def site(
    gateway_settings: GatewaySettings, image_bento: RunningBento, video_bento: RunningBento
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the site that is logged in."""
    real = {
        "image_bento_url": image_bento.url,
        "video_bento_url": video_bento.url,
        "bento_token": BENTO_TOKEN,
        "reference_key": REFERENCE_KEY,
    }
    settings = GatewaySettings.model_validate({**gateway_settings.model_dump(), **real})
    async with running_app(build_app(settings)) as app:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=60) as http:
            assert (await http.post("/api/auth/register", json=USER)).status_code == 201
            login = {"username": USER["username"], "password": USER["password"]}
            token = (await http.post("/api/auth/login", json=login)).json()["access_token"]
            http.headers["Authorization"] = f"Bearer {token}"
            yield http


async def video(site: httpx.AsyncClient, clip: bytes, **fields: str) -> dict[str, Any]:
    answer = await site.post("/api/detect/video", files={"video": ("clip.mp4", clip, "video/mp4")}, data=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_model_of_pictures_judges_a_video_when_it_is_asked_for(site: httpx.AsyncClient) -> None:
    models = {one["key"]: one for one in (await site.get("/api/detect/models")).json()["models"]}
    assert models["image_cnn"]["modalities"] == ["image", "video"]
    clip = media.clip(media.frames_of(media.with_faces(260), 30))
    asked = await video(site, clip, model="image_cnn")
    usual = await video(site, clip, model="dima806")
    assert asked["model_used"] == models["image_cnn"]["name"]
    assert usual["model_used"] == models["video_lstm"]["name"]
    assert "judged_frame_by_frame" in {reason["code"] for reason in asked["reasons"]}


async def test_a_video_keeps_its_duration_and_a_small_picture(site: httpx.AsyncClient) -> None:
    await video(site, media.clip(media.frames_of(media.with_faces(260), 30)))
    [entry] = (await site.get("/api/history")).json()["history"]
    assert entry["duration"] == pytest.approx(3.0, abs=0.2)
    head, _, data = entry["thumbnail"].partition(",")
    assert head == "data:image/jpeg;base64"
    jpeg = base64.b64decode(data, validate=True)
    assert len(jpeg) <= 20_000
    assert Image.open(io.BytesIO(jpeg)).size == (320, 180)


async def test_pictures_and_camera_frames_are_judged(site: httpx.AsyncClient) -> None:
    picture = media.encoded(media.with_faces(260))
    image = await site.post("/api/detect/image", files={"image": ("face.jpg", picture, "image/jpeg")})
    assert image.status_code == 200, image.text
    data = base64.b64encode(picture).decode()
    camera = await site.post("/api/detect/camera", json={"image": f"data:image/jpeg;base64,{data}"})
    assert camera.status_code == 200, camera.text
    assert camera.json()["frame"]["p_fake"] == pytest.approx(image.json()["p_fake"], abs=1e-6)
    text = base64.b64encode(b"\xff\xd8\xff\xe0 no picture at all").decode()
    broken = await site.post("/api/detect/camera", json={"image": f"data:image/jpeg;base64,{text}"})
    assert broken.status_code == 400
