"""What breaks off on its way, over real connections to a gateway in a process of its own."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.settings import GatewaySettings
from tests.fixtures.gateway import MP4, GatewayProcess, eventually, make_account

pytestmark = pytest.mark.integration

DATA = MP4 + os.urandom(3_000_000)


@pytest.fixture
async def gateway(start_gateway: Any) -> GatewayProcess:
    return await start_gateway(access_log=True)


def files(settings: GatewaySettings, folder: str) -> list[Path]:
    return [one for one in (settings.spool.parent / "media" / folder).rglob("*") if one.is_file()]


async def put(url: str, content: Any) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.put(url, content=content)


async def send_half(url: str, data: bytes) -> asyncio.StreamWriter:
    """Begin to send, and stop in the middle with the connection open."""
    address = urlsplit(url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"PUT {address.path}?{address.query} HTTP/1.1\r\nhost: gateway\r\ncontent-length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data[: len(data) // 2])
    await writer.drain()
    return writer


async def test_what_broke_off_leaves_nothing_and_is_sent_again(
    gateway: GatewayProcess, gateway_settings: GatewaySettings, database: Any
) -> None:
    key = await make_account(database)
    async with httpx.AsyncClient(base_url=gateway.url, headers={"x-api-key": key}) as http:
        body = {"filename": "a.mp4", "size_bytes": len(DATA)}
        upload = (await http.post("/v1/uploads", json=body)).json()
        writer = await send_half(upload["url"], DATA)

        async def begun() -> bool:
            return len(files(gateway_settings, "aside")) == 1

        async def gone() -> bool:
            return not files(gateway_settings, "aside")

        await eventually(begun)
        assert files(gateway_settings, "incoming") == []
        writer.transport.abort()
        await eventually(gone)
        assert files(gateway_settings, "incoming") == []
        assert (await put(upload["url"], DATA)).status_code == 200
        done = await http.post(f"/v1/uploads/{upload['id']}/complete")
        assert done.json()["sha256"] == hashlib.sha256(DATA).hexdigest()
    log = gateway.log.read_text()
    assert "/v1/uploads/bytes/" in log
    assert "signature=" not in log
    assert upload["url"].rpartition("signature=")[2] not in log


async def test_what_a_killed_gateway_had_half_of_is_not_there_and_is_sent_again(
    gateway: GatewayProcess, start_gateway: Any, gateway_settings: GatewaySettings, database: Any
) -> None:
    key = await make_account(database)
    headers = {"x-api-key": key}
    async with httpx.AsyncClient(headers=headers) as http:
        body = {"filename": "a.mp4", "size_bytes": len(DATA)}
        upload = (await http.post(f"{gateway.url}/v1/uploads", json=body)).json()
        writer = await send_half(upload["url"], DATA)

        async def begun() -> bool:
            return len(files(gateway_settings, "aside")) == 1

        await eventually(begun)
        gateway.kill()
        await gateway.process.wait()
        writer.transport.abort()
        other = await start_gateway()
        address = f"{other.url}/v1/uploads/{upload['id']}"
        early = await http.post(f"{address}/complete")
        assert (early.status_code, early.json()["code"]) == (409, "upload_incomplete")
        now = (await http.get(address)).json()
        assert (await put(now["url"], DATA)).status_code == 200
        assert (await http.post(f"{address}/complete")).json()["status"] == "ready"


@pytest.mark.parametrize("more", [1, 8_000_000])
async def test_more_than_was_announced_is_refused_as_it_comes(
    gateway: GatewayProcess, gateway_settings: GatewaySettings, database: Any, more: int
) -> None:
    key = await make_account(database)

    async def too_much() -> Any:
        for start in range(0, len(DATA) + more, 65_536):
            yield (DATA + bytes(more))[start : start + 65_536]

    async with httpx.AsyncClient(headers={"x-api-key": key}) as http:
        body = {"filename": "a.mp4", "size_bytes": len(DATA)}
        upload = (await http.post(f"{gateway.url}/v1/uploads", json=body)).json()
        for content in (too_much(), DATA + bytes(more)):
            answer = await put(upload["url"], content)
            assert (answer.status_code, answer.json()["code"]) == (413, "media_too_large")
    assert files(gateway_settings, "aside") == files(gateway_settings, "incoming") == []


async def test_who_sends_again_takes_the_place_of_what_hangs(
    gateway: GatewayProcess, gateway_settings: GatewaySettings, database: Any
) -> None:
    key = await make_account(database)
    async with httpx.AsyncClient(headers={"x-api-key": key}) as http:
        body = {"filename": "a.mp4", "size_bytes": len(DATA)}
        upload = (await http.post(f"{gateway.url}/v1/uploads", json=body)).json()
        hanging = [await send_half(upload["url"], DATA) for _ in range(5)]

        async def one_is_left() -> bool:
            return len(files(gateway_settings, "aside")) == 1

        await eventually(one_is_left)
        assert (await put(upload["url"], DATA)).status_code == 200
        assert (await http.post(f"{gateway.url}/v1/uploads/{upload['id']}/complete")).status_code == 200

        async def none_is_left() -> bool:
            return not files(gateway_settings, "aside")

        await eventually(none_is_left)
        for writer in hanging:
            writer.transport.abort()
