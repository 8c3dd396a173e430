"""Who may ask a Bento anything: only holders of the shared token. The outermost layer that is ours.

BentoML itself asks nobody for a name, and its transport between services unpickles what it is sent: neither gets
through here. Liveness, readiness and figures stay open, because probes and scrapers carry no secret, because the
services listen on the loopback interface by default, and because nothing about a person or a medium is in them.
"""

import hashlib
import hmac
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.errors import UnauthorizedError, UnsupportedMediaError
from bentos.http.responses import send_error
from bentos.settings import load_settings

OPEN_PATHS: Final = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})

_PICKLE: Final = b"application/vnd.bentoml+pickle"


class TokenMiddleware:
    """Lets a call through that carries the shared token, and no pickled body whoever sends it."""

    def __init__(self, app: ASGIApp, token: str | None = None) -> None:
        """Wrap `app`; the token is that of the settings where none is given, read when the service starts."""
        self._app = app
        self._digest = _digest((token or load_settings().bento_token.get_secret_value()).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or answer 401 or 415."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if not self._knows(headers.get(b"authorization", b"")):
            await send_error(send, UnauthorizedError())
        elif headers.get(b"content-type", b"").strip().lower().startswith(_PICKLE):
            await send_error(send, UnsupportedMediaError("Pickled bodies are never read."))
        else:
            await self._app(scope, receive, send)

    def _knows(self, authorization: bytes) -> bool:
        scheme, _, token = authorization.partition(b" ")
        # Digests have one length, so that the comparison tells nothing of the token's.
        return scheme.lower() == b"bearer" and hmac.compare_digest(_digest(token.strip()), self._digest)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
