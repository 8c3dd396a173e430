"""A camera of one's own for photographs that already exist: it picks a square, and adds its light, lens and noise.

Genuine and forged media go through it alike, before the forgery is made. Pixels are float32 RGB in [0, 255].
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.demo.forgeries import Pixels, compress
from scripts.demo.photographs import Part, draw_photograph

_LEAST_TEXTURE: Final = 2.5
"""Mean absolute Laplacian of a square in which a forgery can leave a trace at all."""
_TRIES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """Gain of each channel, gamma, and noise in levels; `blur` and `sharpening` are 0 where the lens does neither.

    `quality` is that of the JPEG pass inside the camera, 0 for none.
    """

    gain: tuple[float, float, float]
    gamma: float
    blur: float
    sharpening: float
    noise: float
    quality: int


def draw_camera(rng: np.random.Generator) -> Camera:
    """A random camera. A whole picture may be soft or sharpened; only a part that differs from the rest is a trace."""
    red, green, blue = (float(value) for value in rng.uniform(0.75, 1.2) * rng.uniform(0.92, 1.08, 3))
    lens = rng.random()
    return Camera(
        gain=(red, green, blue),
        gamma=float(rng.uniform(0.8, 1.25)),
        blur=float(rng.uniform(0.5, 1.3)) if lens < 0.2 else 0.0,
        sharpening=float(rng.uniform(0.3, 1.2)) if lens > 0.9 else 0.0,
        noise=float(rng.uniform(0.5, 5)) if rng.random() < 0.5 else 0.0,
        quality=int(rng.integers(70, 99)) if rng.random() < 0.4 else 0,
    )


def expose(rng: np.random.Generator, camera: Camera, scene: Pixels) -> Pixels:
    """The scene as the camera takes it; `rng` makes the noise."""
    gain = np.asarray(camera.gain, np.float32) / 255
    picture = 255 * cv2.pow(np.clip(scene * gain, 0, 1), camera.gamma)
    if camera.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), camera.blur)
    if camera.sharpening:
        picture = picture + camera.sharpening * (picture - cv2.GaussianBlur(picture, (0, 0), 1.0))
    if camera.noise:
        picture = picture + np.float32(camera.noise) * rng.standard_normal(picture.shape, np.float32)
    picture = np.clip(picture, 0, 255).astype(np.float32, copy=False)
    return compress(picture, camera.quality) if camera.quality else picture


@dataclass(frozen=True, slots=True)
class Square:
    """A square of a photograph: its left upper corner and its side, in pixels of the photograph."""

    left: int
    top: int
    side: int

    def cut(self, photograph: NDArray[np.uint8], side: int) -> Pixels:
        """The square resized to `side` pixels."""
        pixels = photograph[self.top : self.top + self.side, self.left : self.left + self.side].astype(np.float32)
        resizing = cv2.INTER_AREA if self.side > side else cv2.INTER_CUBIC
        shown = np.asarray(cv2.resize(pixels, (side, side), interpolation=resizing), np.float32)
        return np.clip(shown, 0, 255)


def draw_square(rng: np.random.Generator, photograph: NDArray[np.uint8], side: int) -> Square:
    """A random square that holds something to see when it is shown at `side` pixels."""
    square = _any_square(rng, photograph, side)
    for _ in range(_TRIES):
        if np.abs(cv2.Laplacian(square.cut(photograph, side), cv2.CV_32F)).mean() >= _LEAST_TEXTURE:
            break
        square = _any_square(rng, photograph, side)
    return square


def draw_scene(rng: np.random.Generator, part: Part, side: int) -> Pixels:
    """A random square of a random photograph, float32 [side, side, 3].

    The few photographs for training are also seen through each other, turned, and with their colours exchanged, so that
    what they show is worth less to the network than how a part of it differs from the rest.
    """
    scene = _plain_scene(rng, part, side)
    if part == "train":
        if rng.random() < 0.35:
            scene += np.float32(rng.uniform(0.25, 0.75)) * (_plain_scene(rng, part, side) - scene)
        if rng.random() < 0.4:
            scene = scene[..., rng.permutation(3)]
        scene = np.rot90(scene, int(rng.integers(4)))
    if rng.random() < 0.5:
        scene = scene[:, ::-1]
    return np.ascontiguousarray(scene)


def _plain_scene(rng: np.random.Generator, part: Part, side: int) -> Pixels:
    photograph = draw_photograph(rng, part)
    return draw_square(rng, photograph, side).cut(photograph, side)


def _any_square(rng: np.random.Generator, photograph: NDArray[np.uint8], side: int) -> Square:
    largest = min(photograph.shape[:2])
    # Never enlarged by more than 1.6, which would leave nothing but blur.
    smallest = min(largest, max(96, int(side / 1.6)))
    source = int(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    top, left = (int(rng.integers(0, length - source + 1)) for length in photograph.shape[:2])
    return Square(left, top, source)
