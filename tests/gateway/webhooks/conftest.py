"""Receivers of webhooks, real ones on the loopback interface, and the worker's lane that sends to them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from aiohttp import web

from gateway.db.engine import Database, open_database
from gateway.mail.tasks import Mailer, mail_task
from gateway.mail.transports import choose_transport
from gateway.outbound.client import Resolve, open_outbound
from gateway.queue import runner as running
from gateway.queue.lanes import MAIL_QUEUE, WEBHOOK_QUEUE, Lane
from gateway.queue.runner import Runner
from gateway.settings import GatewaySettings
from gateway.webhooks.delivering import Courier, delivery_task
from gateway.webhooks.outbox import tell
from tests.fixtures.gateway import Client, eventually

Connection = psycopg.AsyncConnection[Any]
SOON: tuple[float, ...] = (0.05, 0.05, 0.05)


@dataclass(frozen=True)
class Received:
    """A call as it came."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An address that is told; `answers` come one after the other, the last one for ever."""

    answers: list[web.Response | float] = field(default_factory=list[Any])
    calls: list[Received] = field(default_factory=list[Received])
    port: int = 0
    under_way: int = 0
    most_under_way: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    @property
    def ids(self) -> list[str]:
        return [call.headers["webhook-id"] for call in self.calls]

    async def take(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append(Received(headers, await request.read()))
        answer = self.answers[min(len(self.calls), len(self.answers)) - 1] if self.answers else 200
        if isinstance(answer, float):
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            await asyncio.sleep(answer)
            self.under_way -= 1
            return web.Response()
        if isinstance(answer, int):
            return web.Response(status=answer)
        return answer


@pytest.fixture
def gateway_settings(gateway_settings: GatewaySettings, tmp_path: Any) -> GatewaySettings:
    """Those of all tests, but this machine may be told."""
    changed = {
        "outbound_allowed_networks": ["127.0.0.0/8"],
        "webhooks_over_http": True,
        "webhook_deadline_s": 0.5,
        "mail_folder": tmp_path / "mail",
    }
    return gateway_settings.model_copy(update=changed)


@pytest.fixture
async def receive() -> AsyncGenerator[Callable[..., Awaitable[Receiver]]]:
    """Starts receivers that answer with these statuses, responses or, where it is a float, after so many seconds."""
    async with AsyncExitStack() as stack:

        async def start(*answers: Any) -> Receiver:
            receiver = Receiver(list(answers))
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", receiver.take)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            receiver.port = runner.addresses[0][1]
            return receiver

        yield start


@pytest.fixture
async def opened(gateway_settings: GatewaySettings) -> AsyncGenerator[Database]:
    """Both pools of a process of its own."""
    async with open_database(gateway_settings) as database:
        yield database


@asynccontextmanager
async def courier_of(
    opened: Database, settings: GatewaySettings, resolve: Resolve | None = None, pauses_s: Any = SOON
) -> AsyncGenerator[Courier]:
    """What delivers, as a worker has it, but for the pauses."""
    async with open_outbound(settings, resolve=resolve) as outbound:
        yield Courier(opened.engine, outbound, settings, pauses_s=pauses_s)


@asynccontextmanager
async def working(courier: Courier, settings: GatewaySettings) -> AsyncGenerator[None]:
    """The lanes of a worker that deliver and mail, and that look often for what is to be tried again."""
    lanes = [
        Lane(name="webhooks", queues=(WEBHOOK_QUEUE,), places=16),
        Lane(name="others", queues=(MAIL_QUEUE,), places=1),
    ]
    tasks = [delivery_task(courier), mail_task(Mailer(choose_transport(settings), sender=settings.mail_from))]
    runner = Runner(tasks, settings, lanes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "_POLL_S", 0.1)
        work = asyncio.create_task(runner.run())
        try:
            yield
        finally:
            runner.stop()
            await asyncio.wait_for(work, 30)


@pytest.fixture
async def courier(opened: Database, gateway_settings: GatewaySettings) -> AsyncGenerator[Courier]:
    """What delivers, with short pauses."""
    async with courier_of(opened, gateway_settings) as one:
        yield one


@pytest.fixture
async def worker(courier: Courier, gateway_settings: GatewaySettings) -> AsyncGenerator[Courier]:
    """A courier to whom the queue brings work."""
    async with working(courier, gateway_settings):
        yield courier


@dataclass
class Hooks:
    """An account with its endpoints, through the API, and events of it, as the end of a job tells them."""

    client: Client
    opened: Database
    database: Connection

    async def send(self, method: str, path: str, json: Any = None, **headers: str) -> Any:
        return await self.client.http.request(
            method, f"/v1/webhooks/{path}", headers=self.client.headers() | headers, json=json
        )

    async def endpoint(self, url: str, **fields: Any) -> dict[str, Any]:
        answer = await self.send("POST", "endpoints", {"url": url} | fields)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def account_id(self) -> UUID:
        row = await (
            await self.database.execute("SELECT id FROM accounts WHERE email = 'client@example.org'")
        ).fetchone()
        assert row
        return row[0]

    async def tell(self, event: str = "job.succeeded", subject: UUID | None = None) -> list[UUID]:
        account = await self.account_id()
        body = msgspec.json.encode({"type": event, "timestamp": "2026-11-21T10:00:00Z", "data": {"id": "é"}})
        async with self.opened.engine.begin() as connection:
            return await tell(connection, account_id=account, event=event, subject_id=subject or uuid4(), body=body)

    async def deliver(self, courier: Courier, delivery_id: UUID, endpoint: dict[str, Any]) -> None:
        """Make the next try of a delivery, as the worker's task does."""
        await courier.deliver(str(delivery_id), endpoint["id"], str(await self.account_id()))

    async def delivery(self, delivery_id: UUID | str) -> dict[str, Any]:
        answer = await self.send("GET", f"deliveries/{delivery_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ended(self, delivery_id: UUID | str, within_s: float = 15) -> dict[str, Any]:
        """A delivery once it is not pending any more."""

        async def check() -> bool:
            return (await self.delivery(delivery_id))["status"] != "pending"

        await eventually(check, within_s)
        return await self.delivery(delivery_id)


@pytest.fixture
def hooks(client: Client, opened: Database, database: Connection) -> Hooks:
    """An account that is told of its events."""
    return Hooks(client, opened, database)
