"""The text of an API key: `sk-live-` and 48 hex digits, the last 8 of which check the first 40.

A mistyped key is known as such without the database, and a leaked one is found by a scanner without asking us.
"""

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from typing import Final

from gateway.errors import InvalidKeyError

MARK: Final = "sk-live-"
_RANDOM_DIGITS: Final = 40
_SHOWN_DIGITS: Final = 8
_SHAPE: Final = re.compile(rf"{MARK}([0-9a-f]{{{_RANDOM_DIGITS}}})([0-9a-f]{{8}})")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: `secret` is shown once, `digest` (SHA-256, 32 bytes) and `prefix` are kept."""

    secret: str
    digest: bytes
    prefix: str

    @property
    def last4(self) -> str:
        """The last four characters, shown in lists."""
        return self.secret[-4:]


def make_key() -> NewKey:
    """Make a key with 160 random bits."""
    digits = secrets.token_hex(_RANDOM_DIGITS // 2)
    secret = f"{MARK}{digits}{_checksum(digits)}"
    return NewKey(secret=secret, digest=digest_key(secret), prefix=f"{MARK}{digits[:_SHOWN_DIGITS]}")


def digest_key(secret: str) -> bytes:
    """SHA-256 of a key whose shape and checksum are right. A slow hash is for passwords; this has 160 random bits.

    Raises:
        InvalidKeyError: It is no key of ours, or it was mistyped.
    """
    match = _SHAPE.fullmatch(secret)
    if match is None or _checksum(match[1]) != match[2]:
        raise InvalidKeyError
    return hashlib.sha256(secret.encode()).digest()


def _checksum(digits: str) -> str:
    return f"{zlib.crc32(digits.encode()):08x}"
