"""What the field does to pixels before a model of pictures, by the names that `--scale` knows."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scripts.models.errors import RefusedError
from scripts.models.graph import Pixels

Floats = NDArray[np.float32]

_MEAN: Final = (0.485, 0.456, 0.406)
_STD: Final = (0.229, 0.224, 0.225)
_BLUE_GREEN_RED: Final = (103.939, 116.779, 123.68)
"""Means of ImageNet's channels in the scale of bytes, as Caffe's models take them off."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A name, what it means in words, and what the graph does for it."""

    name: str
    meaning: str
    pixels: Pixels


SCALES: Final = {
    scale.name: scale
    for scale in (
        Scale(name="raw", meaning="pixels as they are, 0 to 255", pixels=Pixels()),
        Scale(name="1/255", meaning="pixels divided by 255", pixels=Pixels(scale=1 / 255)),
        Scale(
            name="-1..1",
            meaning="pixels from -1 to 1",
            pixels=Pixels(scale=1 / 127.5, mean=(1.0, 1.0, 1.0)),
        ),
        Scale(
            name="imagenet",
            meaning="pixels divided by 255, less ImageNet's mean, by its deviation",
            pixels=Pixels(scale=1 / 255, mean=_MEAN, std=_STD),
        ),
        Scale(
            name="caffe",
            meaning="blue, green, red, less ImageNet's mean of each",
            pixels=Pixels(channels="BGR", mean=_BLUE_GREEN_RED),
        ),
    )
}


def find_scale(name: str) -> Scale:
    """Return the scale of that name. Raises `RefusedError` where there is none."""
    scale = SCALES.get(name)
    if scale is None:
        raise RefusedError(f"--scale {name} is not known; give one of: {choices()}.")
    return scale


def choices() -> str:
    """All names with what they mean, for a sentence."""
    return ", ".join(f"{scale.name} ({scale.meaning})" for scale in SCALES.values())


def scale_pixels(scale: Scale, crops: NDArray[np.uint8]) -> Floats:
    """Do to uint8 RGB [..., H, W, 3] what the original's own training code did; float32, channels last.

    Written as that code is, step by step, and not as the graph does it, because the two are compared.
    """
    values = crops.astype(np.float32)
    match scale.name:
        case "1/255":
            return values / np.float32(255)
        case "-1..1":
            return values / np.float32(127.5) - np.float32(1)
        case "imagenet":
            return ((values / np.float32(255)) - np.asarray(_MEAN, np.float32)) / np.asarray(_STD, np.float32)
        case "caffe":
            return values[..., ::-1] - np.asarray(_BLUE_GREEN_RED, np.float32)
        case _:
            return values


RESIZE_FILTER: Final = "bilinear"
"""What Keras and OpenCV resize with where nobody says otherwise; a file does not say."""


def resized(height: int, width: int) -> str:
    """Say in a sentence how a crop comes to its size."""
    return f"Crops are resized to {height}x{width} pixels, {RESIZE_FILTER}, which a file does not say."
