"""What is kept, by both clients against a real gateway."""

import hashlib

import pytest

from bonafide_client import NotFoundError, StorageFullError
from tests.fixtures.gateway import JPEG, WAV, make_account

pytestmark = pytest.mark.integration


@pytest.fixture
async def client(either, start_gateway, database):
    return either.client((await start_gateway()).url, api_key=await make_account(database))


async def test_what_is_kept_is_shown_fetched_and_deleted(either, client, tmp_path):
    image = await either(client.detections.create, JPEG, store=True)
    passed = await either(client.detections.create, JPEG, store=False)
    sound = await either(client.detections.create, WAV, store=True)

    assert passed.medium_id is None
    report = await either(client.storage.retrieve)
    assert (report.count, report.used_bytes) == (2, len(JPEG) + len(WAV))
    assert {one.id for one in report.largest} == {image.medium_id, sound.medium_id}
    assert [one.id for one in await either.all(client.storage.list(kept=True, limit=1))] == [
        sound.medium_id,
        image.medium_id,
    ]
    medium = await either(client.storage.medium, image.medium_id)
    assert (medium.detection_id, medium.sha256) == (image.id, hashlib.sha256(JPEG).hexdigest())
    async with either.opened(client.storage.download, image.medium_id) as stream:
        assert await either(stream.save, tmp_path / "copy.jpg") == len(JPEG)
    assert (tmp_path / "copy.jpg").read_bytes() == JPEG

    await either(client.storage.delete, image.medium_id)
    with pytest.raises(NotFoundError):
        await either(client.storage.medium, image.medium_id)
    cleared = await either(client.storage.clear, all=True)
    assert (cleared.deleted_count, cleared.deleted_bytes, cleared.more) == (1, len(WAV), False)
    assert await either.all(client.storage.proofs()) == []


async def test_the_account_says_what_is_kept_and_a_full_storage_is_an_error_of_its_own(either, client, database):
    changed = await either(client.storage.update, keeps_media=True, retention_days=3)
    assert (changed.keeps_media, changed.retention_days) == (True, 3)
    kept = await either(client.detections.create, JPEG)
    medium = await either(client.storage.medium, kept.medium_id)
    assert (medium.expires_at - medium.stored_at).days == 3
    await database.execute("UPDATE accounts SET storage_bytes = 10")
    with pytest.raises(StorageFullError) as refused:
        await either(client.detections.create, JPEG)
    assert (refused.value.status, refused.value.code) == (507, "storage_full")
