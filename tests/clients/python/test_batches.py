"""What a batch is sent as: a list of items, or an archive as it is."""

from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from bonafide_client import Bonafide
from bonafide_client.resources.batches import Batches

ID = UUID(int=7)


@pytest.fixture
def batches():
    with Bonafide(base_url="http://127.0.0.1:9", api_key="sk-live-1") as client:
        yield client.batches


def test_items_are_sent_as_json(batches):
    call = Batches.create._build(batches, [{"upload_id": ID, "tags": ["a"]}], name="n", store=False, model=None)

    sent = {"name": "n", "store": False, "items": [{"upload_id": str(ID), "tags": ["a"]}]}
    assert msgspec.json.decode(msgspec.json.encode(call.json)) == sent
    assert call.idempotency_key


def test_an_archive_is_sent_as_it_is_and_can_be_sent_again(batches, tmp_path: Path):
    file = tmp_path / "media.zip"
    file.write_bytes(b"PK" * 300_000)
    call = Batches.create_from_zip._build(batches, file, name="n", store=True)

    assert call.query == (("name", "n"), ("store", "true"))
    assert call.upload.headers == {"content-type": "application/zip", "content-length": "600000"}
    for _ in range(2):
        assert call.upload.repeatable
        assert b"".join(call.upload.pieces()) == b"PK" * 300_000


def test_items_and_an_archive_at_once_are_a_mistake(batches):
    with pytest.raises(ValueError, match="one of"):
        batches.create([], archive_id=ID)
