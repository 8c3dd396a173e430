"""Pictures that come as a data URL (RFC 2397) inside of JSON. Pure."""

import binascii
import re
from typing import Final

from gateway.detections.sniffing import sniff
from gateway.errors import EmptyFileError, InvalidBodyError, UnsupportedMediaError

_HEAD: Final = re.compile(r"data:image/(?:jpeg|jpg|png);base64,", re.IGNORECASE | re.ASCII)
_TYPES: Final = frozenset({"image/jpeg", "image/png"})


def read_picture(url: str) -> bytes:
    """The bytes of a JPEG or PNG.

    Raises:
        InvalidBodyError: It is no data URL of such a picture in base64.
        EmptyFileError: It holds no bytes.
        UnsupportedMediaError: The bytes are something else, whatever the URL says.
    """
    head = _HEAD.match(url)
    if head is None:
        raise InvalidBodyError("The field `image` must be a data URL of a JPEG or PNG in base64.")
    try:
        # A view spares a copy of what may be many megabytes.
        data = binascii.a2b_base64(memoryview(url.encode("ascii"))[head.end() :], strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidBodyError("What follows `base64,` in the field `image` is not base64.") from error
    if not data:
        raise EmptyFileError
    if sniff(data[:4096]).media_type not in _TYPES:
        raise UnsupportedMediaError("The picture is neither JPEG nor PNG.")
    return data
