"""Local forgeries of a picture: an altered copy of it blended back through a soft mask.

Self-blended images follow Shiohara & Yamasaki, 2022, "Detecting Deepfakes with Self-Blended Images": the copy differs
in colour, sharpness, resolution, compression and place by a little, as a swapped face does. In up-sampled forgeries the
copy comes from a coarser grid, as from a generator of low resolution. Pixels are float32 RGB in [0, 255], [H, W, 3].
"""

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]

_ENLARGERS: Final = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
_CORNERS: Final = 12
_TRIES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Alteration:
    """How the blended copy differs from the picture.

    `shift` is added to the channels and `contrast` multiplies the distance from the mean; `coarseness` is the factor of
    down-sampling before the copy is enlarged by `enlarger`; `softness` is the standard deviation of a blur in pixels,
    0 for none; `move` is in pixels and `zoom` a factor round the centre; `quality` is that of a JPEG pass, 0 for none.
    """

    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    contrast: float = 1.0
    coarseness: float = 1.0
    enlarger: int = cv2.INTER_CUBIC
    softness: float = 0.0
    move: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    quality: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Outline of the blended part as corners [n, 2] in shares of the picture's side, and its edge's softness."""

    corners: tuple[tuple[float, float], ...]
    softness: float
    opacity: float


def draw_alteration(rng: np.random.Generator, *, side: int, strength: float = 1.0) -> Alteration:
    """Random alteration for a picture of `side` pixels: self-blended in two cases of three, else up-sampled.

    What is blended in has always lost some resolution, be it by resampling or by a soft lens.
    """
    colour = strength * rng.uniform(-20, 20, 3)
    contrast = float(1 + strength * rng.uniform(-0.2, 0.2))
    enlarger = int(rng.choice(_ENLARGERS))
    if rng.random() < 1 / 3:
        coarseness = float(1 + strength * rng.uniform(0.9, 2.6))
        return Alteration(shift=_triple(colour / 2), contrast=contrast, coarseness=coarseness, enlarger=enlarger)
    resampled, moved, compressed = rng.random(3) < (0.5, 0.6, 0.4)
    reach = 0.02 * side * strength
    return Alteration(
        shift=_triple(colour + strength * rng.uniform(-14, 14)),
        contrast=contrast,
        coarseness=float(1 + strength * rng.uniform(0.5, 1.2)) if resampled else 1.0,
        enlarger=enlarger,
        softness=0.0 if resampled else float(strength * rng.uniform(0.7, 1.6)),
        move=(float(rng.uniform(-reach, reach)), float(rng.uniform(-reach, reach))) if moved else (0.0, 0.0),
        zoom=float(1 + strength * rng.uniform(-0.04, 0.04)) if moved else 1.0,
        quality=int(rng.integers(35, 75)) if compressed else 0,
    )


def draw_visible_alteration(
    rng: np.random.Generator, pixels: Pixels, mask: Pixels, *, strength: float = 1.0, trace: float = 5.0
) -> Alteration:
    """A random alteration that changes the masked part of a picture by at least `trace` levels of 255 on average.

    A forgery that changes nothing is no example of one. Where none is found, the last one drawn is taken.
    """
    alteration = draw_alteration(rng, side=pixels.shape[0], strength=strength)
    for _ in range(_TRIES):
        if np.abs(forge(pixels, alteration, mask) - pixels).sum() >= trace * pixels.shape[2] * mask.sum():
            break
        alteration = draw_alteration(rng, side=pixels.shape[0], strength=strength)
    return alteration


def flicker(rng: np.random.Generator, alteration: Alteration, *, side: int, amount: float = 1.0) -> Alteration:
    """The alteration as the next frame might have it: another shade, softness and place."""
    moved = np.asarray(alteration.move) + amount * rng.normal(0, 0.008 * side, 2)
    return replace(
        alteration,
        shift=_triple(np.asarray(alteration.shift) + amount * (rng.normal(0, 5) + rng.normal(0, 3, 3))),
        contrast=float(alteration.contrast + amount * rng.normal(0, 0.05)),
        softness=float(abs(alteration.softness + amount * rng.normal(0, 0.4))),
        coarseness=float(max(1.0, alteration.coarseness + amount * rng.normal(0, 0.3))),
        move=(float(moved[0]), float(moved[1])),
    )


def draw_region(rng: np.random.Generator) -> Region:
    """Random rounded outline near the picture's middle, about as large as a face in a crop with its margin."""
    centre = 0.5 + rng.uniform(-0.1, 0.1, 2)
    radii = rng.uniform(0.17, 0.38, 2)
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False) + rng.uniform(0, 2 * np.pi)
    stretch = rng.uniform(0.85, 1.1, _CORNERS)
    corners = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii * stretch[:, None]
    return Region(
        corners=tuple((float(x), float(y)) for x, y in corners),
        softness=float(np.exp(rng.uniform(np.log(0.004), np.log(0.03)))),
        opacity=float(rng.choice([0.8, 1.0], p=[0.3, 0.7])),
    )


def draw_mask(region: Region, side: int) -> Pixels:
    """Opacity of the blend, float32 [side, side, 1] in [0, 1]."""
    mask = np.zeros((side, side), np.float32)
    corners = cv2.convexHull((np.asarray(region.corners) * side).astype(np.int32))
    cv2.fillPoly(mask, [corners], region.opacity)
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.5, region.softness * side))
    return np.asarray(soft, np.float32)[..., None]


def alter(pixels: Pixels, alteration: Alteration) -> Pixels:
    """The altered copy of a picture."""
    height, width = pixels.shape[:2]
    copy = pixels
    if alteration.coarseness > 1:
        small = (max(8, round(width / alteration.coarseness)), max(8, round(height / alteration.coarseness)))
        coarse = cv2.resize(copy, small, interpolation=cv2.INTER_AREA)
        copy = cv2.resize(coarse, (width, height), interpolation=alteration.enlarger)
    if alteration.zoom != 1 or alteration.move != (0.0, 0.0):
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 0, alteration.zoom)
        matrix[:, 2] += alteration.move
        copy = cv2.warpAffine(copy, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    if alteration.softness:
        copy = cv2.GaussianBlur(copy, (0, 0), alteration.softness)
    mean = np.asarray(cv2.mean(copy)[:3])
    offset = mean * (1 - alteration.contrast) + alteration.shift
    copy = copy * np.float32(alteration.contrast) + offset.astype(np.float32)
    if alteration.quality:
        return compress(copy, alteration.quality)
    return np.clip(copy, 0, 255).astype(np.float32, copy=False)


def forge(pixels: Pixels, alteration: Alteration, mask: Pixels) -> Pixels:
    """Blend the altered copy of a picture into it; `mask` is float32 [H, W, 1] in [0, 1]."""
    blended = pixels + mask * (alter(pixels, alteration) - pixels)
    return blended.astype(np.float32, copy=False)


def compress(pixels: Pixels, quality: int) -> Pixels:
    """The picture after a JPEG pass of `quality`, 1 to 100."""
    data = cv2.imencode(".jpg", to_bytes(pixels)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.float32)


def to_bytes(pixels: Pixels) -> NDArray[np.uint8]:
    """The picture rounded to uint8."""
    return np.asarray(cv2.convertScaleAbs(np.maximum(pixels, 0)), np.uint8)


def _triple(values: NDArray) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
