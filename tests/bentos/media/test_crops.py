"""Crops are cut by the filter that the card of a model names."""

from typing import get_args

import numpy as np
import pytest
from PIL import Image

from bentos.contract import Box
from bentos.media.crops import cut
from bentos.media.prepared import CropShape, ResizeFilter

PICTURE = np.random.default_rng(7).integers(0, 256, (90, 120, 3), np.uint8)
BOX = Box(x=10, y=5, width=80, height=80)


def crop(resize_filter: ResizeFilter) -> np.ndarray:
    return cut(PICTURE, [BOX], CropShape(height=16, width=20, resize_filter=resize_filter, margin=0))[0]


@pytest.mark.parametrize("resize_filter", get_args(ResizeFilter))
def test_every_filter_gives_crops_of_the_size_of_the_model(resize_filter):
    assert crop(resize_filter).shape == (16, 20, 3)


@pytest.mark.parametrize("name", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
def test_the_filters_of_pillow_give_the_pixels_of_pillow(name):
    inside = Image.fromarray(PICTURE).crop((10, 5, 90, 85))
    expected = np.asarray(inside.resize((20, 16), Image.Resampling[name.upper()]))

    np.testing.assert_array_equal(crop(f"pillow_{name}"), expected)


def test_pillow_looks_at_all_pixels_where_opencv_leaves_some_out():
    assert crop("pillow_bilinear").std() < 0.5 * crop("bilinear").std()
