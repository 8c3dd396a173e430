"""Proves that a webhook came from the platform: the scheme of Standard Webhooks (standardwebhooks.com, symmetric, v1).

```python
from bonafide_client.webhooks import InvalidSignatureError, verify

event = verify(request.body, request.headers, [secret])  # {"type": "job.succeeded", "timestamp": …, "data": {…}}
```
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from bonafide_client.errors import BonafideError

TOLERANCE: Final = timedelta(minutes=5)

_PREFIX: Final = "whsec_"
_VERSION: Final = "v1"
_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


class InvalidSignatureError(BonafideError):
    """This is no webhook of the platform, or it is too old; answer it with 400 and do nothing."""


def verify(
    payload: bytes | str,
    headers: Mapping[str, str],
    secrets: Sequence[str] | str,
    *,
    tolerance: timedelta = TOLERANCE,
    now: float | None = None,
) -> dict[str, Any]:
    """The event of a webhook that is signed with one of the secrets.

    Args:
        payload: The body exactly as it came, not parsed and written anew.
        headers: Those of the request, whatever their case.
        secrets: `whsec_…`, one or several: while a secret is rotated, two are good.
        tolerance: How far its time may lie from now, either way.
        now: Seconds since 1970; the clock of this machine where it is not given.

    Returns:
        The JSON object: its `type`, `timestamp` and `data`. What comes twice has the same header `webhook-id`.

    Raises:
        InvalidSignatureError: None of the secrets has signed it, it lies outside the tolerance, or it is no event.
        ValueError: A secret is not written as one, or there is none.
    """
    keys = [_key(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not keys:
        raise ValueError("there is no secret to verify with")
    body = payload.encode() if isinstance(payload, str) else payload
    lowered = {name.lower(): value for name, value in headers.items()}
    if any(not lowered.get(name) for name in _HEADERS):
        raise InvalidSignatureError("A header of the signature is missing.")
    message_id, said, signatures = (lowered[name] for name in _HEADERS)
    if not (said.isascii() and said.isdigit()) or len(said) > 15:  # noqa: PLR2004 - More digits are no time.
        raise InvalidSignatureError("The time is not one.")
    if abs((time.time() if now is None else now) - int(said)) > tolerance.total_seconds():
        raise InvalidSignatureError("The time lies too far from now.")
    content = f"{message_id}.{said}.".encode() + body
    expected = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()) for key in keys]
    # All are compared, so that the time it takes tells nothing.
    matches = [hmac.compare_digest(one, given) for one in expected for given in _given(signatures)]
    if not any(matches):
        raise InvalidSignatureError
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise InvalidSignatureError("The body is no event.") from error


def _given(signatures: str) -> list[bytes]:
    """The signatures of our version; those of others are passed over."""
    parts = [one.partition(",") for one in signatures.split(" ")]
    return [text.encode() for version, _, text in parts if version == _VERSION]


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a secret is `whsec_` and base64") from error
