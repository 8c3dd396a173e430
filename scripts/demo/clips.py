"""Labelled clips for the video detector: a virtual camera pans and zooms over a photograph.

A forged clip carries the same blend in every frame, but its shade, softness and place flicker, as they do where a face
is swapped frame by frame. A pair shares path, light and compression. Everything follows from the seed.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scripts.demo.camera import Square, draw_camera, draw_square, expose
from scripts.demo.crops import GRID, SIDES, to_crop
from scripts.demo.forgeries import Pixels, compress, draw_mask, draw_region, draw_visible_alteration, flicker, forge
from scripts.demo.photographs import Part, draw_photograph
from scripts.demo.shapes import CROP, FRAMES

_STRENGTH: Final = 0.8
"""Of the blend in one frame, against that of the still pictures: a clip has sixteen of them to give itself away."""


def draw_clips(seed: int, part: Part, start: int, stop: int) -> NDArray[np.uint8]:
    """Pairs number `start` to `stop` of a part's sequence: crops uint8 [n, 2, 16, 224, 224, 3], genuine first."""
    return np.stack([draw_clip_pair(np.random.default_rng((seed, index)), part) for index in range(start, stop)])


def draw_clip_pair(rng: np.random.Generator, part: Part) -> NDArray[np.uint8]:
    """The sampled frames of a genuine clip and of its forgery, uint8 [2, 16, 224, 224, 3]."""
    side = int(np.exp(rng.uniform(*np.log(SIDES))))
    frames = _film(rng, part, side + GRID)
    mask = draw_mask(draw_region(rng), side + GRID)
    alteration = draw_visible_alteration(rng, frames[0], mask, strength=_STRENGTH)
    amount = rng.uniform(0.6, 1.4)
    quality = int(rng.integers(55, 92))
    clip = np.empty((2, FRAMES, CROP, CROP, 3), np.uint8)
    for index, genuine in enumerate(frames):
        forged = forge(genuine, flicker(rng, alteration, side=side, amount=amount), mask)
        left, top = rng.integers(0, GRID, 2)
        for label, pixels in enumerate((genuine, forged)):
            seen = compress(pixels, quality)[top : top + side, left : left + side]
            clip[label, index] = to_crop(seen)
    return clip


def _film(rng: np.random.Generator, part: Part, side: int) -> list[Pixels]:
    """Frames of a camera that moves a little over a photograph, with a steady exposure and fresh noise."""
    photograph, camera = draw_photograph(rng, part), draw_camera(rng)
    first, mirrored = draw_square(rng, photograph, side), bool(rng.random() < 0.5)
    drift, zoom = rng.normal(0, 0.08, 2) * first.side, rng.normal(0, 0.05)
    frames: list[Pixels] = []
    for time in np.linspace(0, 1, FRAMES):
        # A face finder's box is never quite still.
        shaken = np.asarray([first.left, first.top]) + time * drift + rng.normal(0, 0.006, 2) * first.side
        square = _inside(photograph, shaken, first.side * (1 + time * zoom + rng.normal(0, 0.01)))
        scene = square.cut(photograph, side)
        frames.append(expose(rng, camera, np.ascontiguousarray(scene[:, ::-1]) if mirrored else scene))
    return frames


def _inside(photograph: NDArray[np.uint8], corner: NDArray, side: float) -> Square:
    """The square nearest to the wanted one that lies inside the photograph."""
    height, width = photograph.shape[:2]
    whole = int(np.clip(side, 64, min(height, width)))
    left, top = np.clip(np.rint(corner).astype(int), 0, (width - whole, height - whole))
    return Square(int(left), int(top), whole)
