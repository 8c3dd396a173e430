"""The photographs that the demo weights are made from: those inside the scikit-image package, split once and for all.

A photograph belongs to one part only, so that what is measured was neither trained nor calibrated on. The two views of
the motorcycle show one scene and stay together.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image

Part = Literal["train", "calibration", "test"]

SPLIT: Final[Mapping[Part, Mapping[str, float]]] = {
    "train": {
        "chelsea.png": 2.0,
        "motorcycle_left.png": 1.5,
        "motorcycle_right.png": 1.5,
        "ihc.png": 1.5,
        "rocket.jpg": 1.0,
        "hubble_deep_field.jpg": 1.0,
        "coins.png": 1.5,
        "brick.png": 0.7,
        "grass.png": 0.7,
        "moon.png": 1.0,
        "page.png": 0.7,
    },
    "calibration": {"coffee.png": 3.0, "retina.jpg": 1.0, "gravel.png": 1.0},
    "test": {"astronaut.png": 3.0, "camera.png": 2.0, "text.png": 1.0},
}
"""File names by part, with the weight at which each is drawn: photographs of things count more than textures."""


@cache
def load_photograph(name: str) -> NDArray[np.uint8]:
    """Photograph of scikit-image as uint8 RGB [H, W, 3], read-only.

    Raises:
        FileNotFoundError: The installed scikit-image does not ship it.
    """
    path = Path(skimage.__file__).parent / "data" / name
    if not path.is_file():
        raise FileNotFoundError(path)
    with Image.open(path) as picture:
        pixels = np.array(picture.convert("RGB"))
    pixels.setflags(write=False)
    return pixels


def draw_photograph(rng: np.random.Generator, part: Part) -> NDArray[np.uint8]:
    """One photograph of a part, by its weight."""
    names, weights = zip(*SPLIT[part].items(), strict=True)
    return load_photograph(names[rng.choice(len(names), p=np.asarray(weights) / sum(weights))])
