"""The one place where an answer or an error becomes an HTTP response."""

from typing import Final

import msgspec
from starlette.types import Send

from bentos.contract import HEADER_REQUEST_ID, HEADER_THUMBNAIL, Detection, ErrorBody, Wire
from bentos.errors import DetectionError, UnauthorizedError, UnavailableError

JSON: Final = b"application/json"
WITH_THUMBNAIL: Final = b"application/octet-stream"
"""What JSON with a picture behind it is to everybody who did not ask for it."""

_encoder: Final = msgspec.json.Encoder()


async def send_bytes(
    send: Send, status: int, body: bytes, content_type: bytes, *extra: tuple[bytes, bytes], request_id: str = ""
) -> None:
    """Send a whole response."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *extra]
    if request_id:
        headers.append((HEADER_REQUEST_ID.encode(), request_id.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, body: Wire, *, status: int = 200, request_id: str = "") -> None:
    """Send a wire type as JSON."""
    await send_bytes(send, status, _encoder.encode(body), JSON, request_id=request_id)


async def send_detection(send: Send, detection: Detection, thumbnail: bytes, *, request_id: str = "") -> None:
    """Send a verdict, and after it the thumbnail where there is one; see `HEADER_THUMBNAIL`."""
    extra = [(HEADER_THUMBNAIL.encode(), b"%d" % len(thumbnail))] if thumbnail else []
    content_type = WITH_THUMBNAIL if thumbnail else JSON
    await send_bytes(send, 200, _encoder.encode(detection) + thumbnail, content_type, *extra, request_id=request_id)


async def send_error(send: Send, error: DetectionError, *, request_id: str = "") -> None:
    """Send an error of ours as the `ErrorBody` that its class stands for."""
    extra: list[tuple[bytes, bytes]] = []
    if isinstance(error, UnavailableError):
        extra.append((b"retry-after", b"%d" % error.retry_after_s))
    if isinstance(error, UnauthorizedError):
        extra.append((b"www-authenticate", b"Bearer"))
    body = _encoder.encode(ErrorBody(code=error.code, message=str(error)))
    await send_bytes(send, error.status, body, JSON, *extra, request_id=request_id)
