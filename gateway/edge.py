"""The outermost layer: every request gets an id, every answer its headers, its line in the log and its figures."""

import re
import time
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import structlog
from litestar import Litestar, Request, Response
from litestar.routes import HTTPRoute
from litestar.types import Message, Receive, Send

from gateway.arrival import Arrival, Redirect
from gateway.errors import InvalidHostError
from gateway.idempotency.headers import replay_headers
from gateway.limits.headers import limit_headers, noted_allowance
from gateway.metrics import Metrics
from gateway.rendering import render_error
from gateway.unread import CLOSING, Body

_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"x-xss-protection", b"0"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_POLICY: Final = b"content-security-policy"
_API_POLICY: Final = (_POLICY, b"default-src 'none'; frame-ancestors 'none'")
_NO_STORE: Final = (b"cache-control", b"no-store")
_ALLOW: Final = b"allow"
_UNMATCHED: Final = "unmatched"
_SOCKET: Final = "WEBSOCKET"

_log = structlog.stdlib.get_logger("gateway.access")


class Edge:
    """Wraps the whole application, so that what no route answers is covered too."""

    def __init__(self, app: Litestar, *, arrival: Arrival, metrics: Metrics, access_log: bool) -> None:
        self._app = app
        self._methods = _methods(app)
        self._arrival = arrival
        self._metrics = metrics
        self._access_log = access_log

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        request_id = _request_id(scope["headers"])
        # The server shares one state between requests; what is noted here must stay with this one.
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        self._arrival.settle(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        is_socket = scope["type"] == "websocket"
        method, path = _SOCKET if is_socket else scope["method"], scope["path"]
        status = 500
        body = Body(scope, receive)

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "websocket.accept":
                status = HTTPStatus.SWITCHING_PROTOCOLS
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            elif message["type"] == "websocket.close" and status != HTTPStatus.SWITCHING_PROTOCOLS:
                # The server answers so where there was no handshake.
                status = HTTPStatus.FORBIDDEN
            elif message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"]]
                if method == "OPTIONS" and scope.get("path_template") in self._methods:
                    headers = [one for one in headers if one[0] != _ALLOW]
                    headers.append((_ALLOW, self._methods[scope["path_template"]]))
                message["headers"] = _complete(headers, scope, request_id)
                message["headers"].extend(self._arrival.headers(scope))
                await body.drain()
                if not body.read:
                    message["headers"].append(CLOSING)
            await send(message)

        try:
            await self._let_in(scope, body.receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - start
            route: str = scope.get("path_template") or _UNMATCHED
            self._metrics.observe_request(_known(method), route, status, seconds)
            if self._access_log:
                client = scope.get("client")
                _log.info(
                    "request",
                    method=method,
                    path=path,
                    route=route,
                    status=status,
                    duration_ms=round(seconds * 1000, 2),
                    client=client[0] if client else None,
                )

    async def _let_in(self, scope: Any, receive: Receive, send: Send) -> None:
        try:
            self._arrival.check(scope)
        except (InvalidHostError, Redirect) as refusal:
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 4403, "reason": "wrong_way"})
                return
            request: Request[Any, Any, Any] = Request(scope)
            if isinstance(refusal, Redirect):
                answer = Response[Any](b"", status_code=308, headers={"location": refusal.location})
            else:
                answer = render_error(request, refusal)
            await answer.to_asgi_response(None, request)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _methods(app: Litestar) -> dict[str, bytes]:
    """The methods of every path, for `Allow`: asked for its options, the framework names those of one handler only."""
    return {
        route.path_format: ", ".join(sorted(route.methods)).encode()
        for route in app.routes
        if isinstance(route, HTTPRoute)
    }


def _request_id(headers: Any) -> str:
    """The caller's own id where it is sane, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return value.decode()
    return uuid4().hex


def _complete(headers: list[tuple[bytes, bytes]], scope: Any, request_id: str) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in headers}
    headers.append((b"x-request-id", request_id.encode()))
    headers.extend(_SECURITY_HEADERS)
    if _POLICY not in names:
        headers.append(_API_POLICY)
    if _NO_STORE[0] not in names:
        headers.append(_NO_STORE)
    headers.extend(replay_headers(scope))
    allowance = noted_allowance(scope)
    if allowance is not None:
        headers.extend(limit_headers(allowance))
    return headers


def _known(method: str) -> str:
    """The method as a label; made-up ones would let callers create time series."""
    return method if method in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", _SOCKET} else "other"
