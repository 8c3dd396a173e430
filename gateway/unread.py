"""What is left of a request's body when its answer is ready.

A server that answers before it has read a body can only close the connection: whoever still sends is cut off before it
has read its answer, and a client that keeps the connection finds it closed at its next call.
"""

import asyncio
from typing import Any, Final, cast

from litestar.types import Receive

from gateway.settings import MIB

CLOSING: Final = (b"connection", b"close")

_MOST_BYTES: Final = 32 * MIB
_LONGEST_S: Final = 5.0
_ANNOUNCING: Final = frozenset((b"content-length", b"transfer-encoding"))


class Body:
    """The body of a request on its way to whoever reads it; knows whether that was done to the end."""

    def __init__(self, scope: Any, receive: Receive) -> None:
        self._receive = receive
        self.read = scope["type"] != "http" or not any(name in _ANNOUNCING for name, _ in scope["headers"])

    async def receive(self) -> Any:
        """The next message of the request."""
        message = cast("dict[str, Any]", await self._receive())
        if message["type"] != "http.request" or not message.get("more_body", False):
            self.read = True
        return message

    async def drain(self) -> None:
        """Read on and throw away, within bounds."""
        drained = 0
        try:
            async with asyncio.timeout(_LONGEST_S):
                while not self.read and drained < _MOST_BYTES:
                    drained += len((await self.receive()).get("body", b""))
        except TimeoutError:
            return
