"""Frames of a camera take of the memory that all uploads share, before they are taken in, and give it back."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest

from bentos.contract import Modality
from gateway.app import build_app
from gateway.detections.fakes import Script
from gateway.settings import MIB, GatewaySettings
from tests.fixtures.gateway import JPEG, Client, make_account, running_app

pytestmark = pytest.mark.integration

LARGEST = 6000
LONGEST = LARGEST // 3 * 4 + 64 * 1024
BUDGET = 3 * LONGEST + LARGEST


def body(data: bytes = JPEG) -> bytes:
    return json.dumps({"image": "data:image/jpeg;base64," + base64.b64encode(data).decode()}).encode()


async def pieces(whole: bytes, midway: asyncio.Barrier | None = None) -> AsyncIterator[bytes]:
    """A body of which nobody says how long it is; waits twice `midway`, where one is given."""
    yield whole[:100]
    if midway is not None:
        await midway.wait()
        await midway.wait()
    yield whole[100:]


async def send(client: Client, content: Any) -> httpx.Response:
    headers = client.headers() | {"content-type": "application/json"}
    return await client.http.post("/api/detect/camera", headers=headers, content=content)


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def started(settings: GatewaySettings, database: Any, **changed: int) -> AsyncGenerator[Client]:
    async with (
        running_app(build_app(settings.model_copy(update=changed))) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http,
    ):
        yield Client(http, await make_account(database))


@pytest.fixture
async def narrow(
    gateway_settings: GatewaySettings, bentos: dict[Modality, Script], database: Any
) -> AsyncGenerator[Client]:
    """A client of a gateway that has room for one body of which nobody says how long it is."""
    assert bentos
    async for client in started(gateway_settings, database, image_max_bytes=LARGEST, upload_memory_bytes=BUDGET):
        yield client


async def test_what_a_body_takes_is_there_again_after_it_whatever_came_of_it(narrow: Client) -> None:
    for _ in range(3):
        assert (await send(narrow, pieces(body()))).status_code == 200
        assert told(await send(narrow, pieces(b"{" + b" " * 1000))) == (400, "invalid_body")
        assert told(await send(narrow, pieces(body(b"no picture")))) == (400, "unsupported_media_type")
        assert told(await send(narrow, pieces(body(JPEG + b"\0" * 60_000)))) == (413, "body_too_large")
        assert told(await send(narrow, pieces(body(JPEG * 3)))) == (413, "media_too_large")
    assert await narrow.used() == 3


async def test_without_room_for_it_a_body_is_not_taken_in(narrow: Client) -> None:
    midway = asyncio.Barrier(2)
    first = asyncio.create_task(send(narrow, pieces(body(), midway)))
    async with asyncio.timeout(15):
        await midway.wait()
    for content in (pieces(body()), body()):
        refused = await send(narrow, content)
        assert told(refused) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
    async with asyncio.timeout(15):
        await midway.wait()
    assert (await first).status_code == 200
    assert (await send(narrow, pieces(body()))).status_code == 200


async def test_the_longest_body_follows_from_the_largest_image(narrow: Client) -> None:
    assert told(await send(narrow, b" " * (LONGEST + 1))) == (413, "body_too_large")
    assert told(await send(narrow, b" " * LONGEST)) == (400, "invalid_body")
    assert (await send(narrow, body(JPEG.ljust(LARGEST, b"\0")))).status_code == 200
    assert told(await send(narrow, body(JPEG.ljust(LARGEST + 3, b"\0")))) == (413, "media_too_large")


async def test_a_large_frame_is_judged_without_keeping_anybody_waiting(client: Client) -> None:
    answer = await send(client, body(JPEG.ljust(9 * MIB, b"\0")))
    assert answer.status_code == 200, answer.text
    assert (await client.get(f"/v1/detections/{answer.json()['detection_id']}")).json()["size_bytes"] == 9 * MIB
