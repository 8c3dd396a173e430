"""Jobs that name an address, from the call to the verdict, over a real server and the worker."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import psycopg
import pytest
from aiohttp import web

from gateway.queue.runner import Runner
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import JPEG, Client, eventually
from tests.gateway.jobs.conftest import reached, read

pytestmark = pytest.mark.integration

Database = psycopg.AsyncConnection[Any]
Post = Callable[..., Awaitable[Any]]


@pytest.fixture
def gateway_settings(gateway_settings: GatewaySettings) -> GatewaySettings:
    """Settings with which addresses on this machine are fetched."""
    return gateway_settings.model_copy(
        update={"jobs_from_urls": True, "outbound_allowed_networks": ["127.0.0.1/32"], "url_timeout_s": 5}
    )


@pytest.fixture
def post(client: Client) -> Post:
    async def send(url: str, **more: str) -> Any:
        return await client.http.post("/v1/jobs", headers=client.headers(), json={"url": url, **more})

    return send


class Media:
    """A server with one picture, which may be told to answer otherwise."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.calls = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        assert request.path == "/picture.jpg"
        self.calls += 1
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, body=JPEG if status == 200 else b"")


@pytest.fixture
async def media() -> AsyncGenerator[Media]:
    served = Media()
    app = web.Application()
    app.router.add_get("/{name}", served.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/picture.jpg"
    yield served
    await runner.cleanup()


async def test_what_is_at_an_address_is_judged_and_weighed(
    client: Client, worker: Runner, post: Post, media: Media, database: Database
) -> None:
    assert worker
    answer = await post(media.url)
    assert answer.status_code == 202, answer.text
    job = await reached(client, answer.json()["id"], "succeeded", "failed")
    assert job["status"] == "succeeded", job
    assert (job["source_url"], job["filename"], job["size_bytes"]) == (media.url, "picture.jpg", len(JPEG))
    assert job["detection"]["media_type"] == "image/jpeg"
    row = await (await database.execute("SELECT charged, bytes FROM meters WHERE charged > 0")).fetchone()
    assert row == (1, len(JPEG))


async def test_what_is_not_there_fails_and_is_refunded(
    client: Client, worker: Runner, post: Post, media: Media
) -> None:
    assert worker
    media.statuses = [404]
    job = await reached(client, (await post(media.url)).json()["id"], "succeeded", "failed")
    assert (job["status"], job["error"]["code"], job["dead"]) == ("failed", "url_refused", False)
    assert await client.used() == 0
    assert media.calls == 1


async def test_who_is_down_is_asked_again(client: Client, worker: Runner, post: Post, media: Media) -> None:
    assert worker
    media.statuses = [503]
    job_id = (await post(media.url)).json()["id"]
    job = await reached(client, job_id, "succeeded", "failed", within_s=30)
    assert job["status"] == "succeeded", job
    assert (job["attempts"], media.calls) == (2, 2)


async def test_a_picture_that_is_too_large_for_the_day_fails_with_the_limit(
    client: Client, worker: Runner, post: Post, media: Media, database: Database
) -> None:
    assert worker
    await database.execute("UPDATE accounts SET daily_bytes = %s", (len(JPEG) - 1,))
    job = await reached(client, (await post(media.url)).json()["id"], "succeeded", "failed")
    assert (job["status"], job["error"]["code"]) == ("failed", "bytes_exceeded")
    assert await client.used() == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/a.jpg",
        "http://[::1]/a.jpg",
        "http://2130706433/a.jpg",
        "http://169.254.169.254/a.jpg",
        "ftp://127.0.0.1/a.jpg",
        "http://user@127.0.0.1/a.jpg",
    ],
)
async def test_what_may_not_be_called_is_refused_at_once(client: Client, post: Post, url: str) -> None:
    answer = await post(url)
    assert (answer.status_code, answer.json()["code"]) == (400, "url_not_allowed")
    assert await client.used() == 0


async def test_an_address_has_to_tell_what_is_there(client: Client, post: Post, media: Media) -> None:
    answer = await post(media.url.replace("picture.jpg", "picture"))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")
    answer = await post(media.url.replace("picture.jpg", "picture"), modality="image")
    assert answer.status_code == 202, answer.text
    assert (await read(client, answer.json()["id"]))["status"] == "queued"


async def test_addresses_are_not_fetched_unless_the_platform_says_so(
    gateway_settings: GatewaySettings, database_url: str
) -> None:
    fresh = GatewaySettings.model_validate(
        {"database_url": database_url, "spool": gateway_settings.spool}
        | dict.fromkeys(("bento_token", "reference_key", "token_key"), "x" * 32)
    )
    assert fresh.jobs_from_urls is False


async def test_an_address_is_not_fetched_for_an_account_that_was_deleted_meanwhile(
    worker: Runner, post: Post, media: Media, database: Database
) -> None:
    assert worker
    await database.execute("INSERT INTO queue_pauses (queue) VALUES ('jobs')")
    job_id = (await post(media.url)).json()["id"]
    await database.execute("UPDATE accounts SET status = 'deleted'")
    await database.execute("DELETE FROM queue_pauses")

    async def ended() -> bool:
        row = await (await database.execute("SELECT ended_at FROM jobs WHERE id = %s", (job_id,))).fetchone()
        return row is not None and row[0] is not None

    await eventually(ended)
    row = await (await database.execute("SELECT status, error_code FROM jobs")).fetchone()
    assert (row, media.calls) == (("failed", "medium_gone"), 0)
