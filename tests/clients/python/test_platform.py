"""Both clients against a real gateway: media, verdicts and the history."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from bentos.contract import ErrorBody, Modality
from bonafide_client import (
    AudioEvidence,
    AuthenticationError,
    BadRequestError,
    IdempotencyMismatchError,
    ImageEvidence,
    NotFoundError,
    QuotaExceededError,
    Timeouts,
    UnavailableError,
    UnsupportedMediaError,
    VideoEvidence,
)
from tests.fixtures.gateway import JPEG, MP4, WAV, make_account

pytestmark = pytest.mark.integration


@pytest.fixture
async def gateway(start_gateway):
    return await start_gateway()


@pytest.fixture
async def client(either, gateway, database):
    return either.client(gateway.url, api_key=await make_account(database))


async def test_media_are_judged_and_read_back(either, client, bentos, tmp_path):
    bentos[Modality.IMAGE].p_fake = 0.9
    path = tmp_path / 'my "best".jpg'
    path.write_bytes(JPEG)

    image = await either(client.detections.create, path, tags=["holiday", "sea"], client_reference="order 7")
    video = await either(client.detections.create, MP4, filename="clip.mp4", modality="video", model="video_fake")
    audio = await either(client.detections.create, iter([WAV[:100], WAV[100:]]))

    assert (image.verdict, image.confidence, image.filename) == ("FAKE", 90.0, 'my "best".jpg')
    assert isinstance(image.evidence, ImageEvidence)
    assert isinstance(video.evidence, VideoEvidence)
    assert isinstance(audio.evidence, AudioEvidence)
    assert (image.tags, image.client_reference) == (("holiday", "sea"), "order 7")
    assert await either(client.detections.retrieve, image.id) == image

    for filters, expected in {
        "all": ({}, [audio, video, image]),
        "modality": ({"modality": "video"}, [video]),
        "verdict": ({"verdict": "FAKE"}, [image]),
        "status": ({"status": "failed"}, []),
        "tags": ({"tags": ["sea", "holiday"]}, [image]),
        "reference": ({"client_reference": "order 7"}, [image]),
        "digest": ({"sha256": audio.sha256}, [audio]),
        "model": ({"model": "video_fake", "version": 1}, [video]),
        "key": ({"key_id": image.key_id}, [audio, video, image]),
        "since": ({"since": datetime.now(UTC) + timedelta(hours=1)}, []),
        "until": ({"until": datetime.now(UTC) + timedelta(hours=1)}, [audio, video, image]),
        "deleted": ({"deleted": True}, []),
    }.values():
        found = await either.all(client.detections.list(limit=1, **filters))
        assert [one.id for one in found] == [one.id for one in expected], filters


async def test_verdicts_are_labelled_rated_deleted_restored_and_exported(either, client):
    one = await either(client.detections.create, JPEG)
    other = await either(client.detections.create, WAV)

    labelled = await either(client.detections.update, one.id, tags=["sea"])
    assert (labelled.tags, labelled.client_reference) == (("sea",), None)
    labelled = await either(client.detections.update, one.id, client_reference="order 7")
    assert (labelled.tags, labelled.client_reference) == (("sea",), "order 7")
    assert (await either(client.detections.update, one.id, client_reference=None)).client_reference is None

    rated = await either(client.detections.feedback, one.id, "fake", note="I made it.")
    assert (rated.feedback.label, rated.feedback.note) == ("fake", "I made it.")
    stats = await either(client.stats)
    assert (stats.total, stats.real, stats.fake, stats.verdicts.real) == (2, 2, 0, 2)
    assert (stats.rated_count, stats.agreed_count, stats.accuracy) == (1, 0, 0.0)
    assert stats.modalities["image"].total == 1
    assert stats.since + timedelta(days=29) == stats.until
    today = await either(client.stats, since=stats.until, until=stats.until, interval="none")
    assert (today.total, today.interval) == (2, "none")
    await either(client.detections.withdraw_feedback, one.id)
    assert (await either(client.detections.retrieve, one.id)).feedback is None

    async with either.opened(client.detections.export, modality="audio") as stream:
        (line,) = await either.all(stream.lines())
    assert json.loads(line)["id"] == str(other.id)

    await either(client.detections.delete, one.id)
    await either(client.detections.delete, one.id)
    with pytest.raises(NotFoundError):
        await either(client.detections.retrieve, one.id)
    (binned,) = await either.all(client.detections.list(deleted=True))
    assert binned.deleted_at is not None
    assert (await either(client.detections.restore, one.id)).id == one.id
    with pytest.raises(NotFoundError):
        await either(client.detections.thumbnail, one.id)

    usage = await either(client.usage)
    assert (usage.day.used, usage.day.remaining, usage.total) == (2, 98, 2)
    assert usage.bytes.used == len(JPEG) + len(WAV)
    days = await either.all(client.usage_days(group_by="modality", limit=1))
    assert {(day.modality, day.charged, day.bytes) for day in days} == {("image", 1, len(JPEG)), ("audio", 1, len(WAV))}
    assert {model.name for model in (await either(client.models.list)).models} >= {"image_fake", "audio_fake"}
    told = await either(client.models.retrieve, "image_fake")
    assert (told.default_of, told.versions[0].roles, told.traffic.stable) == (("image",), ("stable",), 1)
    with pytest.raises(NotFoundError):
        await either(client.models.retrieve, "nothing")


async def test_a_repeated_call_is_one_detection(either, client, bentos):
    first = await either(client.detections.create, JPEG, idempotency_key="mine")
    again = await either(client.detections.create, JPEG, idempotency_key="mine")

    assert again.id == first.id
    assert len(bentos[Modality.IMAGE].calls) == 1
    with pytest.raises(IdempotencyMismatchError):
        await either(client.detections.create, WAV, idempotency_key="mine")
    repeated = await either(client.detections.create, JPEG, reuse=True)
    assert repeated.cached_from == first.id


async def test_a_call_that_is_lost_on_the_way_back_is_not_charged_twice(either, client, bentos):
    bentos[Modality.IMAGE].delay_s = 1.0
    hasty = client.with_options(timeouts=Timeouts(verdict=0.4, total=30))

    detection = await either(hasty.detections.create, JPEG)

    assert detection.verdict == "REAL"
    assert len(bentos[Modality.IMAGE].calls) == 1
    assert (await either(client.usage)).day.used == 1


async def test_refusals_are_errors_of_their_kind(either, gateway, database, bentos):
    poor = either.client(gateway.url, api_key=await make_account(database, daily_limit=1))

    with pytest.raises(UnsupportedMediaError):
        await either(poor.detections.create, b"neither picture nor sound")
    with pytest.raises(BadRequestError) as caught:
        await either(poor.detections.create, b"")
    assert (caught.value.code, bool(caught.value.request_id)) == ("empty_file", True)
    with pytest.raises(NotFoundError):
        await either(poor.detections.retrieve, "019aa000-0000-7000-8000-000000000001")
    with pytest.raises(NotFoundError):
        await either(poor.detections.retrieve, "export/../x")
    bentos[Modality.IMAGE].refusal = (503, ErrorBody(code="overloaded", message="Too many wait."))
    with pytest.raises(UnavailableError):
        await either(poor.detections.create, JPEG)
    bentos[Modality.IMAGE].refusal = None
    await either(poor.detections.create, JPEG)
    with pytest.raises(QuotaExceededError) as spent:
        await either(poor.detections.create, JPEG)
    assert spent.value.retry_after > 0
    with pytest.raises(AuthenticationError) as unknown:
        await either(either.client(gateway.url, api_key="sk-live-" + "0" * 48).usage)
    assert unknown.value.code == "invalid_api_key"
