"""Labelled crops for the image detector, made on the way that a picture takes at serving.

A genuine and a forged crop of a pair go through the same camera (place, scale, light, noise) and the same compression
and resizing; the forgery is the only difference. Everything follows from the seed.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.demo.camera import draw_camera, draw_scene, expose
from scripts.demo.forgeries import Pixels, compress, draw_mask, draw_region, draw_visible_alteration, forge, to_bytes
from scripts.demo.photographs import Part
from scripts.demo.shapes import CROP, MAP

SIDES: Final = (130, 440)
"""Side of the square round a face in pixels, as pictures from a webcam's to a camera's have it."""
GRID: Final = 8
"""Period of JPEG's blocks: a face lies anywhere on it."""


@dataclass(frozen=True, slots=True)
class CropSet:
    """Pairs of crops, uint8 [n, 2, 224, 224, 3], genuine first; and the forged parts, uint8 [n, 28, 28] in [0, 255]."""

    crops: NDArray[np.uint8]
    masks: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.crops)


def draw_crops(seed: int, part: Part, start: int, stop: int) -> CropSet:
    """Pairs number `start` to `stop` of the endless sequence that `seed` gives for a part."""
    pairs = [draw_pair(np.random.default_rng((seed, index)), part) for index in range(start, stop)]
    return CropSet(np.stack([crops for crops, _ in pairs]), np.stack([mask for _, mask in pairs]))


def draw_pair(rng: np.random.Generator, part: Part) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A genuine crop and a forgery of it, uint8 [2, 224, 224, 3], and the forged part, uint8 [28, 28]."""
    side = int(np.exp(rng.uniform(*np.log(SIDES))))
    scene = expose(rng, draw_camera(rng), draw_scene(rng, part, side + GRID))
    mask = draw_mask(draw_region(rng), side + GRID)
    forged = forge(scene, draw_visible_alteration(rng, scene, mask), mask)
    quality = int(rng.integers(65, 99)) if rng.random() < 0.85 else 0
    left, top = rng.integers(0, GRID, 2)
    seen = np.s_[top : top + side, left : left + side]
    pair = [scene, forged] if quality == 0 else [compress(scene, quality), compress(forged, quality)]
    crops = np.stack([to_crop(pixels[seen]) for pixels in pair])
    return crops, to_bytes(255 * cv2.resize(mask[seen], (MAP, MAP), interpolation=cv2.INTER_AREA))


def to_crop(pixels: Pixels) -> NDArray[np.uint8]:
    """A square picture as the Bento hands it to the model: rounded, then resized with OpenCV's area filter."""
    return np.asarray(cv2.resize(to_bytes(pixels), (CROP, CROP), interpolation=cv2.INTER_AREA), np.uint8)
