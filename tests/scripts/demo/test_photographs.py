from itertools import combinations

import numpy as np
import pytest

from scripts.demo.photographs import SPLIT, draw_photograph, load_photograph


def test_no_photograph_is_in_two_parts_and_no_scene_either() -> None:
    for one, other in combinations(SPLIT.values(), 2):
        scenes = [{name.split("_")[0].split(".")[0] for name in part} for part in (one, other)]
        assert not scenes[0] & scenes[1]


def test_every_photograph_is_shipped_and_cannot_be_changed() -> None:
    for name in {name for part in SPLIT.values() for name in part}:
        pixels = load_photograph(name)
        assert pixels.dtype == np.uint8
        assert pixels.shape[2:] == (3,)
        with pytest.raises(ValueError, match="read-only"):
            pixels[0, 0] = 0


def test_a_photograph_that_is_not_shipped_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"lily\.png"):
        load_photograph("lily.png")


def test_only_photographs_of_the_part_are_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = {id(draw_photograph(rng, "test")) for _ in range(60)}
    assert drawn == {id(load_photograph(name)) for name in SPLIT["test"]}
