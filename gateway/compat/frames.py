"""Frames of a camera, which come within JSON: read by the handler itself, so that their memory is bounded.

What a body will take while it is read is reserved of the memory that all uploads of the process share, before the first
byte is taken in. Once the picture is there, only its own size stays reserved until it has been judged.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from litestar import Request

from gateway.compat.data_urls import read_picture
from gateway.detections.forms import RequestBody
from gateway.detections.media import MemoryBudget
from gateway.errors import ClientGoneError, GatewayError, InvalidBodyError, MediaTooLargeError, OverloadedError
from gateway.settings import MIB, GatewaySettings

LONGEST_KEY: Final = 256
_OVERHEAD: Final = 64 * 1024
"""What a body holds beside the picture: the names of the fields, the name of the model."""
_COPIES: Final = 3
"""A body, its text and the picture of it are there at once, each no larger than the body."""
_DECODED_AT_ONCE: Final = MIB
"""Longer ones are decoded in a thread, so that nobody waits meanwhile."""


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    image: str
    model: Annotated[str, msgspec.Meta(max_length=LONGEST_KEY)] | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A JPEG or PNG, and the name of the model that is to judge it."""

    picture: bytes
    model: str | None


class Frames:
    """Reads frames within the limits of the settings."""

    def __init__(self, settings: GatewaySettings, budget: MemoryBudget) -> None:
        # Four characters of base64 are three bytes.
        self._limit = -(-settings.image_max_bytes // 3) * 4 + _OVERHEAD
        self._timeout_s = settings.upload_timeout_s
        self._budget = budget

    @asynccontextmanager
    async def read(self, request: Request[Any, Any, Any]) -> AsyncGenerator[Frame]:
        """The frame that a request carries; its memory is given back at the end of the block.

        Raises:
            RequestError: The body is too large, or no such frame.
            OverloadedError: There is no memory for it right now, or sending took too long.
        """
        body = RequestBody(request.receive)
        announced = self._limit if request.content_length is None else request.content_length
        held = 0
        try:
            if announced > self._limit:
                raise _too_large()
            if not self._budget.take(_COPIES * announced):
                raise OverloadedError(retry_after_s=1)
            held = _COPIES * announced
            frame = await self._take(body, announced)
            self._budget.give(held - len(frame.picture))
            held = len(frame.picture)
            yield frame
        except GatewayError as error:
            if not isinstance(error, ClientGoneError):
                await body.drain()
            raise
        finally:
            self._budget.give(held)

    async def _take(self, body: RequestBody, announced: int) -> Frame:
        taken = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                while not body.complete:
                    chunk = await body.next()
                    if len(taken) + len(chunk) > announced:
                        raise _too_large()
                    taken += chunk
        except TimeoutError as error:
            raise OverloadedError("The file did not arrive in time.", code="upload_timeout", status=408) from error
        if len(taken) > _DECODED_AT_ONCE:
            return await asyncio.to_thread(_decode, taken)
        return _decode(taken)


def _decode(taken: bytearray) -> Frame:
    """The frame within a body, which is emptied. Raises RequestError where there is none."""
    try:
        body = msgspec.json.decode(taken, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBodyError(f"The body is not valid: {error}.") from error
    taken.clear()
    return Frame(read_picture(body.image), body.model)


def _too_large() -> MediaTooLargeError:
    return MediaTooLargeError("The request body is larger than is allowed.", code="body_too_large")
