"""A worker in this process, and jobs handed to the gateway that it shares a database with."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.background import doing
from gateway.queue.runner import Runner
from gateway.settings import GatewaySettings
from gateway.worker import compose, open_means
from tests.fixtures.gateway import JPEG, Client, eventually

Job = dict[str, Any]


@asynccontextmanager
async def working(settings: GatewaySettings) -> AsyncGenerator[Runner]:
    """A worker as the process runs it, stopped at the end."""
    async with open_means(settings) as means:
        composed = compose(means, settings)
        runner = Runner(composed.tasks, settings)
        async with doing(composed.chores):
            run = asyncio.create_task(runner.run())
            try:
                yield runner
            finally:
                runner.stop()
                await asyncio.wait_for(run, 60)


@pytest.fixture
async def worker(gateway_settings: GatewaySettings) -> AsyncGenerator[Runner]:
    """A worker with the settings of this test's gateway."""
    async with working(gateway_settings) as runner:
        yield runner


HandOver = Callable[..., Awaitable[Job]]


@pytest.fixture
def hand_over(client: Client) -> HandOver:
    """Hands a picture over and returns the job as it was accepted."""

    async def send(data: bytes = JPEG, *, headers: dict[str, str] | None = None, **fields: str) -> Job:
        answer = await client.http.post(
            "/v1/jobs",
            headers={**client.headers(), **(headers or {})},
            files={"file": ("picture.jpg", data)},
            data=fields,
        )
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
        return answer.json()

    return send


async def read(client: Client, job_id: str) -> Job:
    """A job as the API shows it."""
    answer = await client.get(f"/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def reached(client: Client, job_id: str, *statuses: str, within_s: float = 20) -> Job:
    """A job once it has one of these statuses."""

    async def there() -> bool:
        return (await read(client, job_id))["status"] in statuses

    await eventually(there, within_s)
    return await read(client, job_id)


async def cancel(client: Client, job_id: str) -> httpx.Response:
    """Cancel a job."""
    return await client.http.post(f"/v1/jobs/{job_id}/cancel", headers=client.headers())
