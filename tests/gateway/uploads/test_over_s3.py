"""Uploads straight to a bucket, of a real server that emulates S3; the gateway sees no byte before all are there."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import httpx
import pytest

from bentos.contract import Modality
from gateway.app import build_app
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from gateway.storage.objects import connect
from tests.fixtures.gateway import JPEG, MP4, Client, make_account, running_app
from tests.gateway.jobs.conftest import reached, working
from tests.gateway.uploads.test_uploads import announce, code, complete, digest_of, read

pytestmark = pytest.mark.integration

PART = 5 * 1024 * 1024


@pytest.fixture
def settings(gateway_settings: GatewaySettings, bucket: str) -> GatewaySettings:
    return GatewaySettings.model_validate({**gateway_settings.model_dump(), "object_store": bucket})


@pytest.fixture
async def client(settings: GatewaySettings, bentos: dict[Modality, Script], database: Any) -> AsyncGenerator[Client]:
    assert bentos
    async with running_app(build_app(settings)) as app:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            yield Client(http, await make_account(database))


async def put(upload_url: str, data: bytes, headers: dict[str, str]) -> int:
    async with httpx.AsyncClient() as http:
        return (await http.put(upload_url, content=data, headers=headers)).status_code


async def stored(settings: GatewaySettings) -> list[str]:
    assert settings.object_store
    return [one.path async for one in connect(settings.object_store).list()]


async def test_a_file_is_sent_to_the_bucket_and_judged(client: Client, settings: GatewaySettings) -> None:
    upload = await announce(client, sha256=digest_of(JPEG))
    assert "X-Amz-Signature=" in upload["url"]
    assert httpx.URL(upload["url"]).path.endswith(upload["file_path"])
    assert await put(upload["url"], JPEG, upload["headers"]) == 200
    done = (await complete(client, upload)).json()
    assert (done["status"], done["sha256"], done["modality"]) == ("ready", digest_of(JPEG), "image")
    # The address is good for a while yet, but leads to where nobody looks any more.
    assert await put(upload["url"], b"another", upload["headers"]) == 200
    assert (await read(client, upload))["sha256"] == digest_of(JPEG)
    body = {"upload_id": upload["id"]}
    job = await client.http.post("/v1/jobs", headers=client.headers(), json=body)
    assert job.status_code == 202, job.text
    async with working(settings):
        ended = await reached(client, job.json()["id"], "succeeded")
    assert ended["verdict"] == "REAL"


async def test_parts_are_joined(client: Client, settings: GatewaySettings) -> None:
    data = MP4 + os.urandom(2 * PART)
    upload = await announce(client, data, filename="long.mp4", part_bytes=PART)
    starts = range(0, len(data), PART)
    for part, start in list(zip(upload["parts"], starts, strict=True))[:2]:
        assert await put(part["url"], data[start : start + PART], upload["headers"]) == 200
    now = await read(client, upload)
    assert [one["sent"] for one in now["parts"]] == [True, True, False]
    assert code(await complete(client, upload)) == (409, "upload_incomplete")
    assert await put(now["parts"][2]["url"], data[2 * PART :], upload["headers"]) == 200
    done = (await complete(client, upload)).json()
    assert (done["sha256"], done["size_bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert [path.partition("/")[0] for path in await stored(settings)] == ["media"]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(JPEG + b"x", "size_mismatch"), (JPEG[:-1], "size_mismatch"), (b"", "empty_file")],
)
async def test_what_a_bucket_took_is_checked_when_it_is_complete(
    client: Client, settings: GatewaySettings, sent: bytes, expected: str
) -> None:
    upload = await announce(client)
    assert await put(upload["url"], sent, upload["headers"]) == 200
    assert code(await complete(client, upload)) == (400, expected)
    assert all(path.startswith(f"incoming/{UUID(upload['id'])}/") for path in await stored(settings))
    assert await put(upload["url"], JPEG, upload["headers"]) == 200
    assert (await complete(client, upload)).status_code == 200


async def test_what_is_overwritten_while_it_is_checked_is_what_was_checked(
    client: Client, settings: GatewaySettings
) -> None:
    bodies = [JPEG[:-4] + number.to_bytes(4, "big") for number in range(40)]
    upload = await announce(client)
    await put(upload["url"], bodies[0], upload["headers"])

    async def overwrite() -> None:
        for body in bodies[1:]:
            await put(upload["url"], body, upload["headers"])

    overwriting = asyncio.create_task(overwrite())
    done = await complete(client, upload)
    await overwriting
    assert done.status_code == 200, done.text
    assert settings.object_store
    objects = connect(settings.object_store)
    (path,) = [one async for one in objects.list("media")]
    assert (await objects.digest(path.path)).hex() == done.json()["sha256"]


async def test_uploads_are_not_sent_to_the_gateway_where_there_is_a_bucket(client: Client) -> None:
    answer = await client.http.put("/v1/uploads/bytes/a/1/b?size=1&expires=1&signature=x", content=b"x")
    assert code(answer) == (404, "not_found")
