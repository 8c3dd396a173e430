"""Answers a call in lines while it is judged: how far it is, then the verdict or why there is none.

The answer begins with the first line. What is decided before anybody had to be told anything is answered as a whole,
with the status that it deserves.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from starlette.types import Send

from bentos.contract import (
    HEADER_REQUEST_ID,
    HEARTBEAT_S,
    LINES,
    Detection,
    ErrorBody,
    FailureLine,
    Line,
    ProgressLine,
    VerdictLine,
)
from bentos.errors import DetectionError, UnavailableError
from bentos.progress import Course

PAUSE_S: Final = 0.5
"""Seconds between two lines at least."""

_encoder: Final = msgspec.json.Encoder()


class LinedAnswer:
    """An answer that may come in lines; `begun` says whether the first was sent, and with it the status 200."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.begun = False
        self._send = send
        self._request_id = request_id
        self._over = asyncio.Event()

    @asynccontextmanager
    async def telling(self, course: Course) -> AsyncGenerator[None]:
        """Send lines about a course, where somebody wants them, for the length of the block."""
        if not course.wanted:
            yield
            return
        teller = asyncio.create_task(self._tell(course))
        try:
            yield
        finally:
            # It is not cancelled, because a line that is half sent could not be followed by another.
            self._over.set()
            await teller

    async def verdict(self, detection: Detection, thumbnail: bytes, course: Course) -> None:
        """Send the last line of a call that succeeded, and before it what no line has told yet."""
        if course.untold:
            await self._line(ProgressLine(progress=course.line()))
        document = msgspec.Raw(_encoder.encode(detection))
        await self._line(VerdictLine(detection=document, thumbnail=thumbnail or None), last=True)

    async def failure(self, error: DetectionError) -> None:
        """Send the last line of a call that failed."""
        wait_s = error.retry_after_s if isinstance(error, UnavailableError) else None
        body = ErrorBody(code=error.code, message=str(error))
        await self._line(FailureLine(status=error.status, error=body, retry_after_s=wait_s), last=True)

    async def end(self) -> None:
        """End an answer that nobody reads any more."""
        await self._send({"type": "http.response.body", "body": b""})

    async def _tell(self, course: Course) -> None:
        while await self._goes_on(course):
            await self._line(ProgressLine(progress=course.line()))
            await self._pause()

    async def _goes_on(self, course: Course) -> bool:
        """Wait until a line is due. False once the call is over."""
        news = asyncio.create_task(course.news(HEARTBEAT_S))
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({news, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            over.cancel()
        return not self._over.is_set()

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PAUSE_S):
                await self._over.wait()

    async def _line(self, line: Line, *, last: bool = False) -> None:
        if not self.begun:
            self.begun = True
            headers = [(b"content-type", LINES.encode()), (HEADER_REQUEST_ID.encode(), self._request_id.encode())]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        body = _encoder.encode(line) + b"\n"
        await self._send({"type": "http.response.body", "body": body, "more_body": not last})
