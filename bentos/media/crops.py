"""From a picture and the faces in it to the crops that a model takes: margin, square, one resize."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bentos.contract import Box, Reason
from bentos.faces import Face
from bentos.media.prepared import CropShape, ResizeFilter

Pixels = NDArray[np.uint8]

FILTERS: Final[dict[ResizeFilter, int]] = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
PILLOW_FILTERS: Final[dict[ResizeFilter, Image.Resampling]] = {
    "pillow_nearest": Image.Resampling.NEAREST,
    "pillow_box": Image.Resampling.BOX,
    "pillow_bilinear": Image.Resampling.BILINEAR,
    "pillow_hamming": Image.Resampling.HAMMING,
    "pillow_bicubic": Image.Resampling.BICUBIC,
    "pillow_lanczos": Image.Resampling.LANCZOS,
}
ENLARGED: Final = 2.0
"""A crop that had to be enlarged by more than this holds too little detail; the answer then says so."""


def face_square(face: Face, margin: float) -> Box:
    """The square about a face: its longer side and `margin` of that on every side. It may leave the picture."""
    side = max(1, round(max(face.x2 - face.x1, face.y2 - face.y1) * (1 + 2 * margin)))
    x, y = (face.x1 + face.x2 - side) / 2, (face.y1 + face.y2 - side) / 2
    return Box(x=round(x), y=round(y), width=side, height=side)


def centre_square(width: int, height: int) -> Box:
    """The largest square in the middle of a picture, for one without a face."""
    side = min(width, height)
    return Box(x=(width - side) // 2, y=(height - side) // 2, width=side, height=side)


def cut(picture: Pixels, boxes: Sequence[Box], shape: CropShape) -> Pixels:
    """Cut boxes out of an RGB picture, uint8 [H, W, 3], and resize each once: uint8 [N, height, width, 3].

    What of a box lies outside the picture repeats its edge. Every box must touch the picture.
    """
    crops = np.empty((len(boxes), shape.height, shape.width, 3), np.uint8)
    for crop, box in zip(crops, boxes, strict=True):
        region = _region(picture, box)
        size = (shape.width, shape.height)
        if shape.resize_filter in FILTERS:
            cv2.resize(region, size, dst=crop, interpolation=FILTERS[shape.resize_filter])
        else:
            crop[...] = np.asarray(Image.fromarray(region).resize(size, PILLOW_FILTERS[shape.resize_filter]))
    return crops


def resolution_reasons(boxes: Sequence[Box], shape: CropShape) -> tuple[Reason, ...]:
    """`low_resolution` where a box has far fewer pixels than the model looks at."""
    smallest = min(box.width for box in boxes)
    if smallest * ENLARGED >= max(shape.width, shape.height):
        return ()
    message = f"What was judged is only {smallest} pixels wide, less than half of what the model looks at."
    return (Reason(code="low_resolution", message=message),)


def _region(picture: Pixels, box: Box) -> Pixels:
    height, width = picture.shape[:2]
    left, top = max(0, -box.x), max(0, -box.y)
    right, bottom = max(0, box.x + box.width - width), max(0, box.y + box.height - height)
    inside = picture[box.y + top : box.y + box.height - bottom, box.x + left : box.x + box.width - right]
    if not (left or top or right or bottom):
        return inside
    return np.asarray(cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)
