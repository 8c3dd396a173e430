"""The object store: a folder, and a bucket of a real server that emulates S3."""

import hashlib
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.errors import StorageUnavailableError
from gateway.storage.local import LocalObjectStore
from gateway.storage.objects import MissingObjectError, ObjectStore, connect
from scripts.stack.ports import free_port

pytestmark = pytest.mark.integration

MEGABYTE = 1024 * 1024
DATA = os.urandom(12 * MEGABYTE)


@pytest.fixture(params=["folder", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return connect((tmp_path / "a folder").as_uri())
    return connect(request.getfixturevalue("bucket"))


async def content(objects: ObjectStore, path: str) -> bytes:
    return b"".join([piece async for piece in objects.stream(path)])


async def paths(objects: ObjectStore, prefix: str = "") -> list[str]:
    return sorted([one.path async for one in objects.list(prefix)])


async def test_what_is_put_is_there(objects: ObjectStore, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(DATA)
    await objects.put_file("media/large", file)
    await objects.put_bytes("media/small", b"small")
    assert file.read_bytes() == DATA
    assert await content(objects, "media/large") == DATA
    assert await content(objects, "media/small") == b"small"
    assert await objects.size("media/large") == len(DATA)
    assert await objects.head("media/large", 4096) == DATA[:4096]
    assert await objects.head("media/small", 4096) == b"small"
    assert await objects.digest("media/large") == hashlib.sha256(DATA).digest()
    copy = tmp_path / "copy"
    assert await objects.fetch("media/large", copy) == len(DATA)
    assert copy.read_bytes() == DATA
    with pytest.raises((FileExistsError, StorageUnavailableError)):
        await objects.fetch("media/small", copy)


async def test_objects_are_joined_in_order(objects: ObjectStore) -> None:
    pieces = [DATA[start : start + 5 * MEGABYTE] for start in range(0, len(DATA), 5 * MEGABYTE)]
    for number, piece in enumerate(pieces):
        await objects.put_bytes(f"incoming/1/{number}/x.mp4", piece)
    names = [f"incoming/1/{number}/x.mp4" for number in range(len(pieces))]
    assert await objects.join(names, "media/1/a") == hashlib.sha256(DATA).digest()
    assert await content(objects, "media/1/a") == DATA
    with pytest.raises(MissingObjectError):
        await objects.join([*names, "incoming/1/9/x.mp4"], "media/1/b")
    assert await objects.size("media/1/b") is None


async def test_objects_are_copied_moved_listed_and_removed(objects: ObjectStore) -> None:
    for path in ("media/1/a", "media/1/b", "media/11/c", "incoming/1/a"):
        await objects.put_bytes(path, path.encode())
    assert await paths(objects) == ["incoming/1/a", "media/1/a", "media/1/b", "media/11/c"]
    assert await paths(objects, "media/1") == await paths(objects, "media/1/") == ["media/1/a", "media/1/b"]
    assert await paths(objects, "media/2") == []
    await objects.copy("media/1/a", "media/3/a")
    await objects.move("media/1/b", "media/3/b")
    assert await content(objects, "media/3/b") == b"media/1/b"
    assert await paths(objects, "media") == ["media/1/a", "media/11/c", "media/3/a", "media/3/b"]
    for path in ("media/3/a", "media/3/a", "media/none"):
        await objects.remove(path)
    assert await content(objects, "media/1/a") == b"media/1/a"
    assert await paths(objects, "media/3") == ["media/3/b"]


async def test_what_is_not_there_is_missing(objects: ObjectStore, tmp_path: Path) -> None:
    assert await objects.size("media/none") is None
    attempts: list[Callable[[], Any]] = [
        lambda: objects.digest("media/none"),
        lambda: objects.head("media/none", 10),
        lambda: objects.copy("media/none", "media/other"),
        lambda: objects.fetch("media/none", tmp_path / "nothing"),
        lambda: content(objects, "media/none"),
    ]
    for attempt in attempts:
        with pytest.raises(MissingObjectError):
            await attempt()
    assert not (tmp_path / "nothing").exists()


async def test_a_bucket_signs_addresses_for_one_object_and_a_folder_none(bucket: str, tmp_path: Path) -> None:
    objects = connect(bucket)
    url = await objects.sign_put("incoming/1/1/account/time/a.mp4", timedelta(minutes=10))
    assert url is not None
    assert httpx.URL(url).path.endswith("/account/time/a.mp4")
    assert "X-Amz-Signature=" in url
    assert "X-Amz-Expires=600" in url
    async with httpx.AsyncClient() as http:
        assert (await http.put(url, content=b"sent")).status_code == 200
    assert await content(objects, "incoming/1/1/account/time/a.mp4") == b"sent"
    assert await connect(tmp_path.as_uri()).sign_put("a", timedelta(minutes=10)) is None


async def test_a_server_that_does_not_answer_is_said_to_be_away(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr("gateway.storage.objects._RETRIES", {"max_retries": 0})
    objects = connect(bucket)
    with pytest.raises(StorageUnavailableError) as away:
        await objects.put_bytes("media/a", b"a")
    assert away.value.retry_after_s
    with pytest.raises(StorageUnavailableError):
        await objects.size("media/a")


def test_nothing_is_taken_from_or_put_outside_the_folder(tmp_path: Path) -> None:
    objects = LocalObjectStore(tmp_path / "objects")
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for path in ("../file", "/etc/passwd", "a/../../file", "a//b", "", "a/.hidden", "a\x00b", "a\nb"):
        with pytest.raises(ValueError, match="no path"):
            objects.adopt(file, path)
    assert file.exists()


async def test_a_file_becomes_an_object_once(tmp_path: Path) -> None:
    objects = LocalObjectStore(tmp_path / "objects")
    for number in range(2):
        with objects.writing_aside() as aside:
            aside.write_bytes(str(number).encode())
            assert objects.adopt(aside, "incoming/1/a") is (number == 0)
    assert await content(objects, "incoming/1/a") == b"0"
    assert list(objects.aside.iterdir()) == []
    assert await paths(objects) == ["incoming/1/a"]


def test_what_was_begun_and_left_is_swept(tmp_path: Path) -> None:
    objects = LocalObjectStore(tmp_path / "objects")
    for name, age in (("old", 7200), ("new", 60)):
        file = objects.aside / name
        file.write_bytes(b"half a film")
        os.utime(file, (file.stat().st_mtime - age,) * 2)
    assert objects.sweep_aside(3600) == 1
    assert [one.name for one in objects.aside.iterdir()] == ["new"]


async def test_a_fetched_file_is_young_and_goes_without_its_object(tmp_path: Path) -> None:
    objects = LocalObjectStore(tmp_path / "objects")
    await objects.put_bytes("media/a", b"a")
    stored = tmp_path / "objects" / "media" / "a"
    os.utime(stored, (1, 1))
    copy = tmp_path / "copy"
    await objects.fetch("media/a", copy)
    assert copy.stat().st_mtime > 1_000_000_000
    copy.unlink()
    assert await content(objects, "media/a") == b"a"
