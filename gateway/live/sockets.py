"""A job's events over a WebSocket: JSON messages `{"id", "event", "data"}`; the client may say where to go on.

A refusal is a close code of 4000 and the status that HTTP would answer, with the error's code as its reason: a browser
tells its page nothing of an answer that is no handshake, so the handshake is done before it is refused. Only a page
of an origin that is not trusted is refused without one.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import structlog
from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect

from gateway.access.guard import Guard
from gateway.access.scopes import HISTORY_READ
from gateway.errors import GatewayError, RequestError
from gateway.live.events import as_message, heartbeat_message, read_last_event_id, read_resume
from gateway.live.service import Live
from gateway.live.streaming import SEND_TIMEOUT_S
from gateway.live.subscriptions import Ending, Subscription
from gateway.rendering import as_gateway_error

BEARER: Final = "bearer"
"""The subprotocol after which a browser names its key or token; it cannot send headers."""
_REFUSED: Final = 4000
_DONE: Final = 1000
_GOING_AWAY: Final = 1001
_NOT_ALLOWED: Final = 4401
_SENSELESS: Final = 4400
_UNTRUSTED: Final = 4403
_ANY: Final = "*"
_MOST_RESUMES: Final = 100
_LONGEST_MESSAGE: Final = 256

Socket = WebSocket[Any, Any, Any]
_log = structlog.stdlib.get_logger(__name__)


class Sockets:
    """Follows jobs over WebSockets."""

    def __init__(self, guard: Guard, live: Live, origins: Sequence[str]) -> None:
        self._guard = guard
        self._live = live
        self._origins = frozenset(origins)

    async def follow(self, socket: Socket, job_id: UUID, last_event_id: str | None) -> None:
        """Tell of a job until it has ended, and close."""
        if not self._trusts(socket):
            await socket.receive()
            await socket.close(_UNTRUSTED, "untrusted_origin")
            return
        await socket.accept(subprotocols=BEARER if BEARER in _subprotocols(socket) else None)
        try:
            after = read_last_event_id(last_event_id)
            caller = await self._guard.identify(socket, HISTORY_READ)
            request = await self._live.find(caller, job_id, after, "websocket")
            with self._live.open(request) as subscription:
                if request.over:
                    subscription.end(Ending.GONE)
                code = await self._tell(socket, subscription)
            await socket.close(code)
        except WebSocketDisconnect:
            # There is nobody to tell.
            return
        except TimeoutError:
            _log.info("follower_too_slow", job_id=str(job_id))
            await socket.close(_GOING_AWAY)
        except Exception as raised:  # noqa: BLE001 - Nothing renders errors behind this; the client gets a code.
            error = as_gateway_error(raised)
            if not isinstance(raised, GatewayError):
                _log.warning("socket_failed", code=error.code, exc_info=raised)
            await socket.close(_REFUSED + error.http_status, error.code)

    async def _tell(self, socket: Socket, subscription: Subscription) -> int:
        """Send events as they come; returns the code to close with."""
        hearing = asyncio.create_task(_hear(socket, subscription))
        try:
            async for event in self._live.events(subscription):
                text = heartbeat_message(subscription.last) if event is None else as_message(event)
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await socket.send_text(text)
                if event is not None and event.final:
                    return _DONE
        finally:
            hearing.cancel()
        return _CODES[subscription.ended]

    def _trusts(self, socket: Socket) -> bool:
        """Whether a page of this origin may come here; what is no browser names none."""
        origin = socket.headers.get("origin")
        if origin is None or _ANY in self._origins or origin in self._origins:
            return True
        scheme = "https" if socket.scope["scheme"] == "wss" else "http"
        return origin == f"{scheme}://{socket.headers.get('host', '')}"


_CODES: Final = {
    # It has been open for as long as a stream may be.
    None: _GOING_AWAY,
    Ending.GONE: _DONE,
    Ending.STOPPING: _GOING_AWAY,
    Ending.REFUSED: _NOT_ALLOWED,
    Ending.INVALID: _SENSELESS,
}


async def _hear(socket: Socket, subscription: Subscription) -> None:
    """Take what the client says, until it hangs up or says what makes no sense."""
    try:
        for _ in range(_MOST_RESUMES):
            text = await socket.receive_text()
            if len(text) > _LONGEST_MESSAGE:
                break
            subscription.rewind(read_resume(text))
    except WebSocketDisconnect:
        subscription.end(Ending.GONE)
        return
    except RequestError:
        pass
    subscription.end(Ending.INVALID)


def _subprotocols(socket: Socket) -> list[str]:
    return list(socket.scope.get("subprotocols") or ())
