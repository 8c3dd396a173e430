"""Keyset paging by an opaque cursor: the place after which the next page starts, which new rows never move."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from gateway.errors import InvalidCursorError

_VERSION = b"\x01"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LATEST_MS: Final = 2**48 - 1


def write_cursor(last: UUID) -> str:
    """The cursor of the page that follows the row `last`."""
    return base64.urlsafe_b64encode(_VERSION + last.bytes).rstrip(b"=").decode()


def read_cursor(cursor: str) -> UUID:
    """The row after which the page starts.

    Raises:
        InvalidCursorError: It was not written by `write_cursor`.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        if raw[:1] != _VERSION:
            raise InvalidCursorError
        return UUID(bytes=raw[1:])
    except (ValueError, binascii.Error) as error:
        raise InvalidCursorError from error


def first_identifier(moment: datetime, *, later_ms: int = 0) -> UUID:
    """The least version 7 UUID of the millisecond in which `moment` lies, or of one so many milliseconds later."""
    milliseconds = min(max((moment - _EPOCH) // _MILLISECOND + later_ms, 0), _LATEST_MS)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62)
