"""Large files sent by both clients to a real gateway."""

import hashlib
import os

import httpx
import pytest

from bonafide_client import ApiError, UnsupportedMediaError
from tests.fixtures.gateway import JPEG, MP4, make_account

pytestmark = pytest.mark.integration

PART = 5 * 1024 * 1024


@pytest.fixture
async def gateway(start_gateway):
    return await start_gateway(access_log=True)


@pytest.fixture
async def client(either, gateway, database):
    return either.client(gateway.url, api_key=await make_account(database))


async def test_a_file_is_sent_in_parts_and_handed_over(either, client, gateway, tmp_path):
    data = MP4 + os.urandom(2 * PART)
    file = tmp_path / "two hours.mp4"
    file.write_bytes(data)
    told = []
    upload = await either(client.uploads.send, file, part_bytes=PART, begun=told.append)
    assert (upload.status, upload.modality, upload.sha256) == ("ready", "video", hashlib.sha256(data).hexdigest())
    assert ([one.id for one in told], len(told[0].parts)) == ([upload.id], 3)
    assert [one.id for one in await either.all(client.uploads.list(status="ready"))] == [upload.id]
    job = await either(client.jobs.create, upload_id=upload.id)
    assert (job.status, job.filename) == ("queued", "two hours.mp4")
    log = gateway.log.read_text()
    assert f"/v1/uploads/bytes/{upload.id}/1/" in log
    assert "signature" not in log
    assert all(part.url.partition("signature=")[2] not in log for part in told[0].parts)


async def test_what_was_begun_is_gone_on_with(either, client, tmp_path):
    data = MP4 + os.urandom(2 * PART)
    file = tmp_path / "long.mp4"
    file.write_bytes(data)
    begun = await either(client.uploads.create, file.name, len(data), part_bytes=PART)
    first = begun.parts[0]
    async with httpx.AsyncClient() as http:
        assert (await http.put(first.url, content=data[:PART])).status_code == 200
    half = await either(client.uploads.retrieve, begun.id)
    assert [(part.number, part.sent) for part in half.parts] == [(1, True), (2, False), (3, False)]
    upload = await either(client.uploads.send, file, upload_id=begun.id)
    assert (upload.id, upload.status, upload.size_bytes) == (begun.id, "ready", len(data))
    again = await either(client.uploads.send, file, upload_id=begun.id)
    assert again == upload


async def test_a_small_file_goes_in_one_piece_and_what_is_no_medium_is_refused(either, client, tmp_path):
    picture = tmp_path / "one.jpg"
    picture.write_bytes(JPEG)
    upload = await either(client.uploads.send, picture, filename="other.jpg", keep=True)
    assert (upload.filename, upload.keep, upload.parts) == ("other.jpg", True, None)
    other = tmp_path / "two.bin"
    other.write_bytes(b"no medium at all" * 100)
    with pytest.raises(UnsupportedMediaError):
        await either(client.uploads.send, other)
    (begun,) = await either.all(client.uploads.list(status="open"))
    await either(client.uploads.delete, begun.id)
    with pytest.raises(ApiError) as gone:
        await either(client.uploads.complete, begun.id)
    assert gone.value.status == 404
