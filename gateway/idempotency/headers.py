"""`Idempotency-Key` in, `Idempotency-Replayed` out."""

import re
from collections.abc import MutableMapping
from typing import Any, Final

from litestar import Request

from gateway.errors import RequestError

_HEADER: Final = "idempotency-key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_STATE_KEY: Final = "idempotency_replayed"


def read_idempotency_key(request: Request[Any, Any, Any]) -> str | None:
    """The client's own name for this call; None where it gave none. Raises RequestError where it is no such name."""
    keys = request.headers.getall(_HEADER, [])
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise RequestError(
            "The header Idempotency-Key must hold 1 to 255 visible ASCII characters, once.",
            code="invalid_idempotency_key",
        )
    return keys[0]


def note_replay(scope: MutableMapping[str, Any] | Any) -> None:
    """Leave with the request that its answer was given before, for the headers of the answer."""
    scope["state"][_STATE_KEY] = True


def replay_headers(scope: MutableMapping[str, Any] | Any) -> list[tuple[bytes, bytes]]:
    """`Idempotency-Replayed` where the answer was given before."""
    return [(b"idempotency-replayed", b"true")] if scope.get("state", {}).get(_STATE_KEY) else []
