"""A refusal that comes before a body was read leaves its connection in order, or says that it is closed."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.fixtures.gateway import GatewayProcess

pytestmark = pytest.mark.integration

CALLERS = 8
CALLS = 30


@pytest.mark.parametrize("size", [2_000, 300_000, 3_000_000])
async def test_no_call_meets_a_connection_that_is_about_to_close(
    start_gateway: Callable[..., Awaitable[GatewayProcess]], size: int
) -> None:
    gateway = await start_gateway()

    async def call(http: httpx.AsyncClient) -> None:
        for _ in range(CALLS):
            answer = await http.post("/v1/jobs", files={"file": ("a.jpg", b"x" * size)})
            assert answer.status_code == 401
            assert (await http.get("/health/live")).status_code == 200

    limits = httpx.Limits(max_connections=1)
    async with AsyncExitStack() as stack:
        clients = [httpx.AsyncClient(base_url=gateway.url, limits=limits, timeout=30) for _ in range(CALLERS)]
        for http in clients:
            await stack.enter_async_context(http)
        await asyncio.gather(*(call(http) for http in clients))
