"""Fetches JSON documents from others: under a deadline, up to a size, and from nowhere but where it was told to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import httpx
import msgspec

from gateway.errors import IssuerUnavailableError

DEADLINE_S: Final = 5.0
LONGEST: Final = 256 * 1024


class Outside:
    """Where documents of others come from."""

    def __init__(self, http: httpx.AsyncClient, *, deadline_s: float = DEADLINE_S) -> None:
        self._http = http
        self._deadline_s = deadline_s

    async def read(self, url: str) -> dict[str, Any]:
        """The JSON object at an address.

        Raises:
            IssuerUnavailableError: It does not come in time, is no object, or is too long.
        """
        status, document = await self.call(httpx.Request("GET", url, headers={"accept": "application/json"}))
        if status != HTTPStatus.OK or document is None:
            raise IssuerUnavailableError(retry_after_s=5)
        return document

    async def call(self, request: httpx.Request, auth: httpx.Auth | None = None) -> tuple[int, dict[str, Any] | None]:
        """Send a request; returns the status and the JSON object that was answered, None where it is none.

        Raises:
            IssuerUnavailableError: No answer came in time, or it was too long.
        """
        body = bytearray()
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await self._http.send(request, auth=auth, stream=True, follow_redirects=False)
                try:
                    async for piece in answer.aiter_bytes():
                        body += piece
                        if len(body) > LONGEST:
                            raise IssuerUnavailableError(retry_after_s=5)
                finally:
                    await answer.aclose()
        except (httpx.HTTPError, TimeoutError) as error:
            raise IssuerUnavailableError(retry_after_s=5) from error
        try:
            return answer.status_code, msgspec.json.decode(bytes(body), type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError):
            return answer.status_code, None


@asynccontextmanager
async def open_outside() -> AsyncGenerator[Outside]:
    """Open the connections to others for the life of the process."""
    async with httpx.AsyncClient(timeout=DEADLINE_S, limits=httpx.Limits(max_connections=20)) as http:
        yield Outside(http)
