"""References to media in the spool folder, which only a holder of the key can mint."""

from datetime import UTC, datetime, timedelta
from typing import Final

import jwt
import msgspec

from bentos.contract.verdicts import Wire

_REFERENCE_ALGORITHM: Final = "HS256"
_REFERENCE_AUDIENCE: Final = "bonafide-media"


class Reference(Wire, frozen=True):
    """A medium in the spool folder: its file name there and its exact size in bytes.

    `long` gives it the limits of jobs: many gigabytes and hours, judged stretch by stretch.
    """

    name: str
    size: int
    long: bool = False


class InvalidReferenceError(Exception):
    """The reference is malformed, expired, or was not minted with this key."""


def mint_reference(reference: Reference, *, key: str, lifetime: timedelta) -> str:
    """Sign a reference so that a Bento accepts it until `lifetime` has passed."""
    claims = {
        "name": reference.name,
        "size": reference.size,
        "long": reference.long,
        "aud": _REFERENCE_AUDIENCE,
        "exp": datetime.now(UTC) + lifetime,
    }
    return jwt.encode(claims, key, algorithm=_REFERENCE_ALGORITHM)


def read_reference(token: str, *, key: str) -> Reference:
    """Verify a signed reference and return it.

    Raises:
        InvalidReferenceError: The signature, audience, expiry or shape is wrong.
    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[_REFERENCE_ALGORITHM],
            audience=_REFERENCE_AUDIENCE,
            options={"require": ["exp", "aud"]},
        )
        return msgspec.convert(claims, Reference)
    except (jwt.InvalidTokenError, msgspec.ValidationError) as error:
        raise InvalidReferenceError(str(error)) from error
