"""Pictures on which an imported model is held to its original, cut as the image Bento cuts them.

They are photographs that come with scikit-image, or a folder of somebody's own.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.errors import DetectionError
from bentos.faces import find_faces
from bentos.media.crops import centre_square, cut, face_square
from bentos.media.image import prepare_image
from bentos.media.options import FaceSearch, ImageOptions
from bentos.media.prepared import CropShape
from scripts.demo.photographs import load_photograph
from scripts.models.errors import RefusedError

Crops = NDArray[np.uint8]

MOST: Final = 64
"""Crops of a folder of pictures that are looked at."""
_PHOTOGRAPHS: Final = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "camera.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "text.png",
)
_SEED: Final = 20_261


def carried_pictures(shape: CropShape) -> Crops:
    """Crops of photographs, their middles and the faces in them, then black, white and noise: uint8 RGB [n, H, W, 3].

    The same ones at every call.
    """
    crops: list[Crops] = []
    for name in _PHOTOGRAPHS:
        picture = load_photograph(name)
        height, width = picture.shape[:2]
        faces = [face_square(face, shape.margin) for face in find_faces(picture, FaceSearch())]
        crops.append(cut(picture, [*faces[:1], centre_square(width, height)], shape))
    blank = np.zeros((1, shape.height, shape.width, 3), np.uint8)
    noise = np.random.default_rng(_SEED).integers(0, 256, blank.shape, np.uint8)
    return np.concatenate([*crops, blank, blank + np.uint8(255), noise])


def pictures_of(folder: Path, shape: CropShape) -> Crops:
    """Crops of the pictures in a folder and those below it, in the order of their names; at most `MOST`.

    Files that are no pictures are left out.

    Raises:
        RefusedError: There is not one picture.
    """
    crops: list[Crops] = []
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        try:
            crops.append(prepare_image(file, ImageOptions(shape=shape)).crops)
        except DetectionError:
            continue
        if sum(map(len, crops)) >= MOST:
            break
    if not crops:
        raise RefusedError(f"{folder} holds no picture that can be read; give --samples a folder of pictures.")
    return np.concatenate(crops)[:MOST]
