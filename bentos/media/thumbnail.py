"""A small JPEG of a picture, for lists that people look through. Runs in a decoding process."""

from typing import Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from bentos.contract import THUMBNAIL_BYTES, THUMBNAIL_SIDE

Pixels = NDArray[np.uint8]

NO_THUMBNAIL: Final[NDArray[np.uint8]] = np.empty(0, np.uint8)
QUALITIES: Final = (75, 50, 25)
"""Tried in this order until the file is small enough; the first is for nearly every picture."""


def make_thumbnail(picture: Pixels) -> NDArray[np.uint8]:
    """Return the bytes, uint8 [N], of a JPEG of an RGB picture: at most 320 pixels a side and 20 kB."""
    height, width = picture.shape[:2]
    side = min(THUMBNAIL_SIDE, max(height, width))
    while True:
        scale = side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
        for quality in QUALITIES:
            jpeg = simplejpeg.encode_jpeg(small, quality=quality, colorspace="RGB", colorsubsampling="420")
            if len(jpeg) <= THUMBNAIL_BYTES:
                return np.frombuffer(jpeg, np.uint8)
        # Noise does not compress; a quarter of the pixels do fit.
        side //= 2
