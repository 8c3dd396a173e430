"""Contract B, spoken as its document says: what was judged, listed and counted."""

import base64
import re
from typing import Any

import pytest

from bentos.contract import ErrorBody, Modality
from gateway.detections.fakes import Script
from tests.fixtures.gateway import MP4, WAV
from tests.fixtures.site import Site, assert_error

pytestmark = pytest.mark.integration


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


async def test_history_and_stats_know_the_same_detections_and_none_of_audio(
    site: Site, bentos: dict[Modality, Script]
) -> None:
    bentos[Modality.AUDIO].p_fake = 0.9
    await site.image()
    for data in (WAV, MP4):
        answer = await site.http.post("/v1/detections", headers=site.bearer, files={"file": ("a", data)})
        assert answer.status_code == 200
    history = (await site.get("/api/history?limit=2")).json()
    assert [row["detection_type"] for row in history["history"]] == ["video", "image"]
    assert history["next_cursor"] is None
    stats = (await site.get("/api/stats")).json()
    assert stats["total_detections"] == stats["fake_count"] + stats["real_count"] == history["count"]


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
