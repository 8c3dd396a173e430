"""Batches out of zip archives: looked through before anything is done, unpacked by the worker, and resumed."""

import asyncio
import struct
import zipfile
import zlib
from contextlib import suppress
from typing import Any

import pytest

from gateway.batches import expanding, unpacking
from gateway.db.engine import open_database
from gateway.queue.runner import Runner
from gateway.settings import GatewaySettings
from gateway.storage.objects import open_object_store
from gateway.storage.retention import Retention
from gateway.worker import compose, open_means
from tests.fixtures.gateway import JPEG, MP4, WAV, Client, eventually
from tests.gateway.batches.conftest import (
    ZIP,
    Database,
    archive,
    ended,
    items,
    made,
    one,
    read,
    send,
    spooled,
)

pytestmark = pytest.mark.integration


def pictures(count: int) -> dict[str, bytes]:
    return {f"folder/{number}.jpg": JPEG + number.to_bytes(4, "big") for number in range(count)}


def lying(files: dict[str, bytes], place: int) -> bytes:
    """An archive whose directory says that one of its files is 100 bytes long, with the checksum of those."""
    data = bytearray(archive(files))
    entry = data.index(b"PK\x01\x02")
    for _ in range(place):
        entry = data.index(b"PK\x01\x02", entry + 4)
    content = list(files.values())[place]
    struct.pack_into("<L", data, entry + 16, zlib.crc32(content[:100]))
    struct.pack_into("<L", data, entry + 24, 100)
    return bytes(data)


async def test_each_file_is_an_item_and_what_cannot_be_judged_says_why(
    client: Client, worker: Runner, database: Database, gateway_settings: GatewaySettings
) -> None:
    assert worker
    files = {
        "one.jpg": JPEG,
        "folder/two.mp4": MP4,
        "readme.rst": b"hello " * 1000,
        "folder/.hidden.jpg": JPEG,
        "three.wav": WAV,
        "empty.jpg": b"",
    }
    batch = await made(client, archive(files, zipfile.ZIP_DEFLATED), headers=ZIP, name="zip")
    assert (batch["total"], batch["name"]) == (5, "zip")
    done = await ended(client, batch["id"])
    assert (done["status"], done["counts"]["succeeded"], done["counts"]["failed"]) == ("finished", 3, 2)
    found = await items(client, batch["id"])
    assert [one["client_reference"] for one in found] == [
        "one.jpg", "folder/two.mp4", "readme.rst", "three.wav", "empty.jpg",
    ]  # fmt: skip
    assert [one["filename"] for one in found][1] == "two.mp4"
    assert [one["error"] and one["error"]["code"] for one in found] == [
        None, None, "unsupported_media_type", None, "empty_file",
    ]  # fmt: skip
    assert [one["detection"] and one["detection"]["modality"] for one in found] == [
        "image", "video", None, "audio", None,
    ]  # fmt: skip
    assert await client.used() == 3
    assert spooled(gateway_settings) == []
    assert await one(database, "SELECT count(*) FROM media WHERE expires_at > now()") == 0, "none is kept"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (archive({"../up.jpg": JPEG}), "unsafe_archive"),
        (archive({"bomb.jpg": bytes(20_000_000)}, zipfile.ZIP_DEFLATED), "zip_bomb"),
        (archive({}), "no_items"),
        (b"no archive at all", "unreadable_archive"),
        (archive(pictures(3))[:-30], "unreadable_archive"),
    ],
)
async def test_an_archive_at_fault_is_refused_at_once(
    client: Client, database: Database, gateway_settings: GatewaySettings, data: bytes, code: str
) -> None:
    answer = await send(client, data, headers=ZIP)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    for table in ("batches", "media", "jobs"):
        assert await one(database, f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608 - Constants.

    async def tidied() -> bool:
        return spooled(gateway_settings) == []

    # It goes when the call is over, which is a moment after its answer.
    await eventually(tidied, 5)


async def test_an_archive_of_too_many_files_is_refused(client: Client, database: Database) -> None:
    answer = await send(client, archive({f"{number}.jpg": b"x" for number in range(10_001)}), headers=ZIP)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_items")
    assert await one(database, "SELECT count(*) FROM batches") == 0


async def test_an_archive_that_does_not_fit_into_the_day_is_refused(client: Client, database: Database) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 2")
    answer = await send(client, archive(pictures(3)), headers=ZIP)
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    fits = archive(pictures(2) | {"readme.rst": b"not judged"})
    assert (await send(client, fits, headers=ZIP)).status_code == 202


async def test_an_archive_that_lies_costs_nothing_and_leaves_nothing(
    client: Client, worker: Runner, database: Database, gateway_settings: GatewaySettings
) -> None:
    assert worker
    batch = await made(client, lying(pictures(6), 4), headers=ZIP, store="true")
    done = await ended(client, batch["id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "zip_bomb")
    assert await items(client, batch["id"]) == []
    assert await client.used() == 0
    assert await one(database, "SELECT count(*) FROM jobs") == 0
    async with open_database(gateway_settings) as opened, open_object_store(gateway_settings) as objects:
        await Retention(opened.pool, objects, bin_days=1).sweep()
        assert [stored.path async for stored in objects.list("media")] == []
    assert await one(database, "SELECT count(*) FROM media") == 0
    assert spooled(gateway_settings) == []


async def test_a_damaged_file_fails_alone(client: Client, worker: Runner) -> None:
    assert worker
    data = bytearray(archive(pictures(3)))
    data[data.index((1).to_bytes(4, "big") + b"PK") + 1] ^= 1
    batch = await made(client, bytes(data), headers=ZIP)
    done = await ended(client, batch["id"])
    assert (done["status"], done["counts"]["succeeded"]) == ("finished", 2)
    (damaged,) = await items(client, batch["id"], status="failed")
    assert (damaged["place"], damaged["error"]["code"]) == (1, "damaged_item")


async def test_a_repeated_archive_makes_one_batch(
    client: Client, database: Database, gateway_settings: GatewaySettings
) -> None:
    headers = ZIP | {"idempotency-key": "once"}
    data = archive(pictures(2))
    first = await made(client, data, headers=headers)
    again = await made(client, data, headers=headers)
    assert again["id"] == first["id"]
    other = await send(client, archive(pictures(3)), headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert await one(database, "SELECT count(*) FROM batches") == 1
    assert await one(database, "SELECT count(*) FROM media") == 1
    assert spooled(gateway_settings) == []


class Killed(BaseException):
    """What ends a worker in the middle."""


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("where", ["unpacking", "accepting"])
async def test_a_worker_killed_in_the_middle_doubles_nothing(  # noqa: PLR0917 - Fixtures and parameters.
    client: Client,
    database: Database,
    gateway_settings: GatewaySettings,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    after: int,
) -> None:
    monkeypatch.setattr("gateway.batches.accepting.CHUNK", 2)
    batch = await made(client, archive(pictures(7)), headers=ZIP)
    done = 0

    def dying(original: Any) -> Any:
        async def step(*args: Any, **named: Any) -> Any:
            nonlocal done
            if done == after:
                raise Killed
            done += 1
            return await original(*args, **named)

        return step

    async with open_means(gateway_settings) as means:
        run = {task.name: task for task in compose(means, gateway_settings).tasks}["batch"].work
        with monkeypatch.context() as patch:
            if where == "unpacking":
                patch.setattr(unpacking.Unpacking, "_unpack_one", dying(unpacking.Unpacking._unpack_one))
            else:
                patch.setattr(expanding, "accept_chunk", dying(expanding.accept_chunk))
            with suppress(Killed):
                await run(batch_id=batch["id"])
        view = await read(client, batch["id"])
        assert view["status"] == "expanding"
        # Another worker goes on, twice at the same time, as the queue may have it.
        again = {task.name: task for task in compose(means, gateway_settings).tasks}["batch"].work
        outcomes = await asyncio.gather(*(again(batch_id=batch["id"]) for _ in range(2)), return_exceptions=True)
        assert None in outcomes, outcomes
    assert await one(database, "SELECT count(*) FROM jobs") == 7
    assert await one(database, "SELECT count(*) FROM batch_items") == 7
    assert await one(database, "SELECT count(*) FROM detections") == 7
    assert await client.used() == 7
    assert (await read(client, batch["id"]))["status"] == "running"
