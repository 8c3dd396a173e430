"""A real receiver of webhooks on this machine: notes what came, when, and under which `webhook-id`."""

import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from scripts.stack.ports import free_port
from scripts.stack.settings import HOST


@dataclass(slots=True)
class Receiver:
    """What was received: times (seconds since the epoch) and bodies of the first arrivals, and how often each came."""

    url: str
    arrived_at: dict[str, float] = field(default_factory=dict[str, float])
    bodies: dict[str, bytes] = field(default_factory=dict[str, bytes])
    times: Counter[str] = field(default_factory=Counter[str])

    async def take(self, request: web.Request) -> web.Response:
        """Note a call. Its head has just come in: the body is read later."""
        arrived = time.time()
        message = request.headers.get("webhook-id", "")
        self.times[message] += 1
        body = await request.read()
        if message not in self.arrived_at:
            self.arrived_at[message] = arrived
            self.bodies[message] = body
        return web.Response(status=204)


@asynccontextmanager
async def receiving() -> AsyncGenerator[Receiver]:
    """Receive for the length of a block."""
    port = free_port()
    receiver = Receiver(f"http://{HOST}:{port}/hook")
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield receiver
    finally:
        await runner.cleanup()
