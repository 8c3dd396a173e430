"""Contract B, spoken as its document says: models, images and videos, and their limits."""

import time

import pytest

from bentos.contract import ErrorBody, Modality
from gateway.detections.fakes import Script
from tests.fixtures.gateway import JPEG, MP4, WAV
from tests.fixtures.site import Site, assert_error, assert_verdict

pytestmark = pytest.mark.integration

MIB = 1024 * 1024
INSTALLED = {
    "dima806": "Dima806 Deepfake Detector",
    "deep-fake-v2": "Deep Fake Detector v2",
    "open-deepfake-detection": "Open Deepfake Detection",
}


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
