"""The pictures of the bench: different photographs of camera size with exactly one face each, made once from a seed.

The face is the one photograph of a person that scikit-image ships, set at changing places, sizes and lights into
photographs that scikit-image and scikit-learn ship; grain makes the files as large as those of a camera.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from skimage import data as scenes
from sklearn.datasets import load_sample_images

from scripts.bench.errors import BenchError

Pixels = NDArray[np.uint8]

WIDTH: Final = 1280
HEIGHT: Final = 720
QUALITY: Final = 90
SIZE_RANGE: Final = range(80_000, 300_001)
"""Bytes of a 720p camera JPEG; candidates outside are passed over."""
MAX_CANDIDATES_PER_PICTURE: Final = 20
HEAD_CENTRE: Final = (226, 112)
HEAD_AXES: Final = (92, 108)
"""Centre and semi-axes, x and y in pixels, of an ellipse round the head in the 512 x 512 portrait."""


class TooFewPicturesError(BenchError):
    """The candidates ran out before enough of them showed exactly one face."""


def load_backgrounds() -> list[Pixels]:
    """Photographs without a face, RGB, of their own sizes."""
    left, _, _ = scenes.stereo_motorcycle()
    brick = np.repeat(scenes.brick()[..., None], 3, axis=2)
    return [scenes.coffee(), scenes.rocket(), scenes.chelsea(), left, brick, *load_sample_images().images]


def cut_head() -> tuple[Pixels, NDArray[np.float32]]:
    """The head, RGB uint8 [H, W, 3], and its soft mask in [0, 1], float32 [H, W]."""
    (x, y), (across, down) = HEAD_CENTRE, HEAD_AXES
    margin = 12
    top, bottom = max(0, y - down - margin), y + down + margin
    left, right = x - across - margin, x + across + margin
    portrait = scenes.astronaut()
    mask = np.zeros(portrait.shape[:2], np.float32)
    cv2.ellipse(mask, (x, y), (across, down), 0, 0, 360, 1.0, thickness=-1)
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), margin / 2), np.float32)
    return portrait[top:bottom, left:right], mask[top:bottom, left:right]


def place_head(
    picture: Pixels, head: Pixels, mask: NDArray[np.float32], centre: tuple[float, float], scale: float
) -> None:
    """Blend the head into the picture, in place, round `centre` (x, y in pixels), `scale` times its own size."""
    size = (round(head.shape[1] * scale), round(head.shape[0] * scale))
    left, top = round(centre[0] - size[0] / 2), round(centre[1] - size[1] / 2)
    patch = cv2.resize(head, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    alpha = cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR)[..., None]
    y0, y1 = max(0, top), min(picture.shape[0], top + size[1])
    x0, x1 = max(0, left), min(picture.shape[1], left + size[0])
    patch, alpha = patch[y0 - top : y1 - top, x0 - left : x1 - left], alpha[y0 - top : y1 - top, x0 - left : x1 - left]
    under = picture[y0:y1, x0:x1]
    picture[y0:y1, x0:x1] = (under + (patch - under) * alpha).round().clip(0, 255).astype(np.uint8)


def fill_frame(photograph: Pixels, rng: np.random.Generator, width: int, height: int) -> Pixels:
    """A random part of the photograph, in the shape of the frame and enlarged to it."""
    rows, columns = photograph.shape[:2]
    share = rng.uniform(0.75, 1.0)
    wide = share * min(columns, rows * width / height)
    tall = wide * height / width
    left, top = rng.uniform(0, columns - wide), rng.uniform(0, rows - tall)
    part = photograph[int(top) : int(top + tall), int(left) : int(left + wide)]
    if rng.random() < 0.5:  # noqa: PLR2004 - half of them
        part = part[:, ::-1]
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def light(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Exposure, colour temperature and sensor grain."""
    gains = rng.uniform(0.75, 1.15) * np.array([rng.uniform(0.92, 1.08), 1.0, rng.uniform(0.92, 1.08)])
    grain = rng.normal(0, rng.uniform(1.5, 3.5), picture.shape[:2])[..., None]
    return (picture * gains + grain).round().clip(0, 255).astype(np.uint8)


def candidates(seed: int) -> Iterator[Pixels]:
    """Endless different pictures, the same for the same seed; RGB uint8 [720, 1280, 3]."""
    rng = np.random.default_rng(seed)
    backgrounds = load_backgrounds()
    head, mask = cut_head()
    while True:
        picture = fill_frame(backgrounds[rng.integers(len(backgrounds))], rng, WIDTH, HEIGHT)
        scale = rng.uniform(0.8, 2.4)
        half = (head.shape[1] * scale / 2, head.shape[0] * scale / 2)
        centre = (rng.uniform(half[0], WIDTH - half[0]), rng.uniform(half[1], HEIGHT - half[1]))
        turned = rng.random() < 0.5  # noqa: PLR2004 - half of them
        place_head(picture, head[:, ::-1] if turned else head, mask[:, ::-1] if turned else mask, centre, scale)
        yield light(picture, rng)


def encode_photographs(count: int, seed: int, count_faces: Callable[[bytes], int]) -> list[bytes]:
    """`count` JPEGs of a camera's size in which `count_faces` finds exactly one face.

    Raises:
        TooFewPicturesError: Too many candidates were refused.
    """
    chosen: list[bytes] = []
    for number, picture in enumerate(candidates(seed)):
        if len(chosen) == count:
            return chosen
        if number == count * MAX_CANDIDATES_PER_PICTURE:
            break
        jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=QUALITY, colorsubsampling="420")
        if len(jpeg) in SIZE_RANGE and count_faces(jpeg) == 1:
            chosen.append(jpeg)
    raise TooFewPicturesError(
        f"{len(chosen)} of {count} pictures after {count * MAX_CANDIDATES_PER_PICTURE} candidates"
    )


def cached_photographs(folder: Path, count: int, seed: int, count_faces: Callable[[bytes], int]) -> list[Path]:
    """The pictures as files in `folder`, made when they are not there yet."""
    files = [folder / f"picture-{seed}-{number:03}.jpg" for number in range(count)]
    if not all(file.exists() for file in files):
        folder.mkdir(parents=True, exist_ok=True)
        for file, jpeg in zip(files, encode_photographs(count, seed, count_faces), strict=True):
            file.write_bytes(jpeg)
    return files
