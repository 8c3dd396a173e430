"""How a file is divided into parts, and under which path clients know it. Pure."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.errors import InvalidBodyError
from gateway.settings import MIB

LEAST_PART: Final = 5 * MIB
"""What S3 and its like ask of all parts but the last."""
MOST_PARTS: Final = 1000
_WHOLE: Final = 64 * MIB
"""Files up to this size are sent in one piece where the client does not say otherwise."""
_USUAL_PART: Final = 16 * MIB
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LENGTH: Final = 100


def part_size(size: int, asked: int | None) -> int | None:
    """The size of all parts but the last of a file of `size` bytes; None: it is sent in one piece.

    Raises:
        InvalidBodyError: With the size that was asked for there would be too many parts, or too small ones.
    """
    if asked is not None:
        if asked >= size:
            return None
        if asked < LEAST_PART or -(-size // asked) > MOST_PARTS:
            least = max(LEAST_PART, -(-size // MOST_PARTS))
            raise InvalidBodyError(f"`part_bytes` must be at least {least} for a file of {size} bytes.")
        return asked
    if size <= _WHOLE:
        return None
    least = -(-size // MOST_PARTS)
    return max(_USUAL_PART, -(-least // MIB) * MIB)


def part_sizes(size: int, part_bytes: int | None) -> Sequence[int]:
    """The size of each part of a file, in bytes; all but the last have `part_bytes`. One 0: nothing was announced."""
    if part_bytes is None or size <= part_bytes:
        return (size,)
    whole, rest = divmod(size, part_bytes)
    return (part_bytes,) * whole + ((rest,) if rest else ())


def path_of(account_id: UUID, at: datetime, filename: str) -> str:
    """The path of an upload: account, time and name, of characters that mean the same in every address and store."""
    return f"{account_id}/{at:%Y%m%dT%H%M%S%fZ}/{safe_name(filename)}"


def safe_name(filename: str) -> str:
    """A name of plain characters that ends as `filename` does, so that a path made of it leads nowhere else."""
    plain = _UNSAFE.sub("_", filename).lstrip("._-")[-_NAME_LENGTH:].lstrip("._-")
    return plain or "upload"
