"""Contract B, spoken as its document says: frames of a camera, and the verdict that is steadied over them."""

import base64

import pytest

from bentos.contract import Modality
from gateway.detections.fakes import Script
from tests.fixtures.gateway import JPEG, MP4
from tests.fixtures.site import Site, assert_error, assert_verdict

pytestmark = pytest.mark.integration

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


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
