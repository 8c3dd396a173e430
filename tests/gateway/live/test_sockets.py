"""WebSockets that follow jobs, at a gateway that Granian serves."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.fixtures.admissions import Connection, make_holder
from tests.fixtures.gateway import GatewayProcess
from tests.fixtures.live import SUMMARY, Followed, followed

pytestmark = pytest.mark.integration

StartGateway = Callable[..., Awaitable[GatewayProcess]]


@pytest.fixture
async def job(database: Connection) -> Followed:
    return await followed(await make_holder(database))


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as one:
        yield one


def address(gateway: GatewayProcess, job: Followed, query: str = "") -> str:
    return f"{gateway.url}/v1/jobs/{job.id}/ws{query}"


async def heard(socket: aiohttp.ClientWebSocketResponse) -> list[Any]:
    """Every message up to the end."""
    messages: list[Any] = []
    async with asyncio.timeout(15):
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            messages.append(json.loads(message.data))
    return messages


def told(messages: list[Any]) -> list[tuple[int, str]]:
    return [(one["id"], one["event"]) for one in messages]


async def test_a_job_is_told_as_messages_up_to_its_end(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway()
    async with session.ws_connect(address(gateway, job), headers=job.headers) as socket:
        assert (await socket.receive_json())["event"] == "queued"
        await job.run(2)
        messages = await heard(socket)
        assert told(messages) == [(2, "running"), (3, "progress"), (4, "progress"), (5, "succeeded")]
        assert messages[1]["data"]["scores"] == [[1, 0.5]]
        assert messages[-1]["data"] | SUMMARY == messages[-1]["data"]
        assert socket.close_code == 1000
    async with session.ws_connect(address(gateway, job, "?last_event_id=4"), headers=job.headers) as socket:
        assert told(await heard(socket)) == [(5, "succeeded")]
        assert socket.close_code == 1000
    async with session.ws_connect(address(gateway, job, "?last_event_id=5"), headers=job.headers) as socket:
        assert await heard(socket) == []
        assert socket.close_code == 1000


async def test_a_client_goes_on_after_another_event_and_gets_signs_of_life(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway(live_heartbeat_s=0.3)
    await job.begin()
    async with session.ws_connect(address(gateway, job), headers=job.headers) as socket:
        assert [(await socket.receive_json())["id"] for _ in range(2)] == [1, 2]
        heartbeat = await socket.receive_json()
        assert heartbeat == {"id": 2, "event": "heartbeat", "data": {}}
        await socket.send_json({"last_event_id": 0})
        assert [one for one in [await socket.receive_json() for _ in range(2)] if one["event"] == "queued"]
        await job.end()
        assert told(await heard(socket))[-1] == (3, "succeeded")


async def test_browsers_name_their_key_or_token_as_a_subprotocol(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway()
    await job.run(1)
    origin = {"origin": "http://localhost:5173"}
    secret = job.holder.key.secret
    async with session.ws_connect(address(gateway, job), headers=origin, protocols=["bearer", secret]) as socket:
        assert socket.protocol == "bearer"
        assert [event for _, event in told(await heard(socket))] == ["queued", "running", "progress", "succeeded"]


async def test_a_refusal_is_a_close_code_that_a_browser_sees(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway(live_streams=1)
    own, another = job.holder.key.secret, (await make_holder(job.database)).key.secret

    async def refusal(secret: str | None, path: str) -> tuple[Any, ...]:
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        async with session.ws_connect(f"{gateway.url}/v1/jobs/{path.format(id=job.id)}", headers=headers) as socket:
            message = await socket.receive(10)
            return message.type, message.data, message.extra

    closed = aiohttp.WSMsgType.CLOSE
    assert await refusal(None, "{id}/ws") == (closed, 4401, "missing_api_key")
    assert await refusal("sk-live-nothing", "{id}/ws") == (closed, 4401, "invalid_api_key")
    assert await refusal(another, "{id}/ws") == (closed, 4404, "not_found")
    assert await refusal(own, "019aa000-0000-7000-8000-000000000001/ws") == (closed, 4404, "not_found")
    assert await refusal(own, "{id}/ws?last_event_id=x") == (closed, 4400, "invalid_last_event_id")
    async with session.ws_connect(address(gateway, job), headers=job.headers) as socket:
        assert (await socket.receive_json())["event"] == "queued"
        assert await refusal(own, "{id}/ws") == (closed, 4503, "overloaded")


async def test_senseless_messages_end_it(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway()
    for said in ("not json", '{"last_event_id": "1"}', "x" * 300, '{"last_event_id": 1, "a": 2}'):
        async with session.ws_connect(address(gateway, job), headers=job.headers) as socket:
            await socket.send_str(said)
            await heard(socket)
            assert socket.close_code == 4400, said
    # Nor is it for saying where to go on over and over.
    async with session.ws_connect(address(gateway, job), headers=job.headers) as socket:
        for _ in range(120):
            await socket.send_json({"last_event_id": 1})
        await heard(socket)
        assert socket.close_code == 4400


async def test_pages_of_strangers_and_wrong_ways_get_no_handshake(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway(trusted_hosts=["127.0.0.1"])

    async def handshake(**headers: str) -> int:
        try:
            async with session.ws_connect(address(gateway, job), headers=job.headers | headers) as socket:
                assert (await socket.receive_json())["event"] == "queued"
                return 101
        except aiohttp.WSServerHandshakeError as refusal:
            return refusal.status

    assert await handshake(origin="https://evil.example") == 403
    assert await handshake(origin="null") == 403
    assert await handshake(host="other.example.org") == 403
    assert await handshake(origin=gateway.url) == 101
    assert await handshake(origin="http://localhost:5173") == 101
    for path in ("/v1/jobs/no-uuid/ws", "/v1/nowhere", "/"):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{gateway.url}{path}", headers=job.headers)
    # Whoever asks by plain HTTP is still answered.
    async with session.get(f"{gateway.url}/health/ready") as answer:
        assert answer.status == 200


async def test_a_revoked_key_ends_it_with_a_code(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway()
    async with session.ws_connect(address(gateway, job), headers=job.headers) as socket:
        assert (await socket.receive_json())["event"] == "queued"
        await job.holder.database.execute("UPDATE api_keys SET revoked_at = now()")
        await heard(socket)
        assert socket.close_code == 4401


async def test_where_https_is_a_must_a_plain_socket_is_none_and_a_proxy_vouches_for_others(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway(https_only=True, trusted_proxies=["127.0.0.0/8"])
    url = f"{gateway.url}/v1/jobs/{job.id}/ws"
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await session.ws_connect(url, headers=job.headers)
    for told in ("https", "wss"):
        async with session.ws_connect(url, headers=job.headers | {"x-forwarded-proto": told}) as socket:
            assert (await socket.receive_json())["event"] == "queued"
