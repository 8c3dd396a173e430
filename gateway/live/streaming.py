"""A job's events as server-sent events, which any HTTP client and every browser reads."""

import asyncio
from typing import Any, Final

import structlog
from litestar import Response
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.live.events import HEARTBEAT, OPENING, as_sse
from gateway.live.service import Live, Request
from gateway.live.subscriptions import Ending, Subscription

SSE: Final = "text/event-stream"
SEND_TIMEOUT_S: Final = 30.0
"""A client that takes nothing for so long has gone, whatever its connection says."""
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # nginx would hold the events back until it has a page of them.
    (b"x-accel-buffering", b"no"),
]

_log = structlog.stdlib.get_logger(__name__)


class EventStream(Response[None]):
    """The answer to a wish to follow a job: its events; or 204, which keeps a browser from asking on and on."""

    def __init__(self, live: Live, request: Request) -> None:
        super().__init__(None, media_type=SSE)
        self._live = live
        self._request = request

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What sends it; the framework calls it as it calls any application."""
        return self._send

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        if self._request.over:
            await send({"type": "http.response.start", "status": 204, "headers": _HEADERS[1:]})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        with self._live.open(self._request) as subscription:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            hanging_up = asyncio.create_task(_hang_up(receive, subscription))
            try:
                await _send_piece(send, OPENING)
                async for event in self._live.events(subscription):
                    await _send_piece(send, HEARTBEAT if event is None else as_sse(event))
                if subscription.ended is not Ending.GONE:
                    await _send_piece(send, b"", more=False)
            except TimeoutError:
                # Returning without the end of the body breaks the connection, which is what is left of it.
                _log.info("follower_too_slow", job_id=str(self._request.job_id))
            finally:
                hanging_up.cancel()


async def _send_piece(send: Send, body: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def _hang_up(receive: Receive, subscription: Subscription) -> None:
    """End the subscription once the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    subscription.end(Ending.GONE)
