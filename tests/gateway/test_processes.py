"""The gateway in processes of its own, as Granian serves it."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import psutil
import pytest

from bentos.contract import Modality
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import JPEG, MP4, GatewayProcess, eventually, make_account

pytestmark = pytest.mark.integration

MIB = 1024 * 1024
StartGateway = Callable[..., Awaitable[GatewayProcess]]


async def post(session: aiohttp.ClientSession, gateway: GatewayProcess, key: str, data: bytes = JPEG) -> int:
    form = aiohttp.FormData()
    form.add_field("file", data, filename="a.jpg")
    async with session.post(f"{gateway.url}/v1/detections", data=form, headers={"x-api-key": key}) as answer:
        await answer.read()
        return answer.status


async def states(database: Any) -> list[str]:
    return [state for (state,) in await (await database.execute("SELECT status FROM detections")).fetchall()]


async def until(database: Any, expected: list[str]) -> None:
    async def reached() -> bool:
        return await states(database) == expected

    await eventually(reached)


def resident(gateway: GatewayProcess) -> int:
    """Resident memory of a gateway's processes, in bytes."""
    parent = psutil.Process(gateway.process.pid)
    return sum(one.memory_info().rss for one in [parent, *parent.children(recursive=True)])


async def test_exactly_the_limit_passes_across_processes(start_gateway: StartGateway, database: Any) -> None:
    key = await make_account(database, daily_limit=200, burst_limit=None)
    gateways = await asyncio.gather(*(start_gateway(database_pool=4) for _ in range(4)))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:

        async def caller(number: int) -> list[int]:
            return [await post(session, gateways[number % 4], key) for _ in range(5)]

        statuses = [status for some in await asyncio.gather(*map(caller, range(64))) for status in some]
    assert len(statuses) == 320
    assert (statuses.count(200), statuses.count(429)) == (200, 120)
    assert await (await database.execute("SELECT charged FROM meters")).fetchall() == [(200,)]
    assert await states(database) == ["succeeded"] * 200


async def test_a_client_that_hangs_up_is_settled(
    start_gateway: StartGateway, bentos: dict[Modality, Script], database: Any
) -> None:
    key = await make_account(database)
    gateway = await start_gateway()
    bentos[Modality.IMAGE].delay_s = 1.0
    async with aiohttp.ClientSession() as session:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(post(session, gateway, key), 0.6)
    await until(database, ["succeeded"])


async def test_a_client_that_hangs_up_while_sending_leaves_nothing(
    start_gateway: StartGateway, database: Any, gateway_settings: GatewaySettings
) -> None:
    key = await make_account(database)
    gateway = await start_gateway()
    host, port = gateway.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /v1/detections HTTP/1.1\r\nhost: gateway\r\nx-api-key: {key}\r\n"
        "content-type: multipart/form-data; boundary=b\r\ncontent-length: 20000000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    )
    writer.write(head.encode() + MP4 + b"\x00" * 12 * MIB)
    await writer.drain()

    async def spooled() -> bool:
        return any(gateway_settings.spool.iterdir())

    async def gone() -> bool:
        return not await spooled()

    await eventually(spooled)
    writer.close()
    await eventually(gone)
    assert await states(database) == []


async def test_a_gateway_told_to_stop_answers_what_it_has_taken(
    start_gateway: StartGateway, bentos: dict[Modality, Script], database: Any
) -> None:
    key = await make_account(database)
    gateway = await start_gateway(gateway_workers=2)
    bentos[Modality.IMAGE].delay_s = 1.5
    async with aiohttp.ClientSession() as session:
        caller = asyncio.create_task(post(session, gateway, key))
        await until(database, ["running"])
        gateway.process.terminate()
        assert await caller == 200
    await asyncio.wait_for(gateway.process.wait(), 20)
    assert await states(database) == ["succeeded"]


async def test_a_large_upload_leaves_memory_flat(
    start_gateway: StartGateway, bentos: dict[Modality, Script], database: Any
) -> None:
    key = await make_account(database)
    gateway = await start_gateway(video_max_bytes=300 * MIB)
    size = 250 * MIB
    peak = 0

    async def film() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n' + MP4
        for _ in range(size // MIB):
            nonlocal peak
            peak = max(peak, resident(gateway))
            yield os.urandom(1024) * 1024
        yield b"\r\n--b--\r\n"

    async with aiohttp.ClientSession() as session:
        assert await post(session, gateway, key) == 200
        before = resident(gateway)
        headers = {"x-api-key": key, "content-type": "multipart/form-data; boundary=b"}
        async with session.post(f"{gateway.url}/v1/detections", data=film(), headers=headers) as answer:
            assert answer.status == 200, await answer.text()
    assert bentos[Modality.VIDEO].calls == [len(MP4) + size]
    assert peak - before < 50 * MIB


async def test_the_log_is_json_without_the_key_and_figures_of_all_workers_add_up(
    start_gateway: StartGateway, database: Any
) -> None:
    key = await make_account(database)
    gateway = await start_gateway(gateway_workers=2, access_log=True)
    for _ in range(12):  # Each on a connection of its own, so that both workers get some.
        async with aiohttp.ClientSession() as session:
            assert await post(session, gateway, key) == 200
            async with session.get(f"{gateway.url}/v1/{key}", headers={"cookie": "session=secret"}) as answer:
                assert answer.status == 404
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/metrics") as answer:
        text = await answer.text()
    assert 'bonafide_detections_total{modality="image",outcome="succeeded"} 12.0' in text
    await gateway.stop()
    log = gateway.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert sum(line["event"] == "request" and line["route"] == "/v1/detections" for line in lines) == 12
    assert key not in log
    assert "session=secret" not in log
