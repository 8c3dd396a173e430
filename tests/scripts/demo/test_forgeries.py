import numpy as np
import pytest

from scripts.demo.forgeries import (
    Alteration,
    alter,
    compress,
    draw_alteration,
    draw_mask,
    draw_region,
    draw_visible_alteration,
    flicker,
    forge,
    to_bytes,
)

RNG = np.random.default_rng(4)
PICTURE = RNG.uniform(0, 255, (120, 120, 3)).astype(np.float32)


def test_an_alteration_of_nothing_changes_nothing() -> None:
    np.testing.assert_allclose(alter(PICTURE, Alteration()), PICTURE, atol=1e-3)


@pytest.mark.parametrize(
    "alteration",
    [
        Alteration(shift=(9, 0, 0)),
        Alteration(contrast=0.8),
        Alteration(coarseness=2.0),
        Alteration(softness=1.0),
        Alteration(move=(2, 0)),
        Alteration(zoom=1.05),
        Alteration(quality=40),
    ],
)
def test_every_trace_changes_the_masked_part_and_nothing_else(alteration: Alteration) -> None:
    mask = np.zeros((120, 120, 1), np.float32)
    mask[40:80, 40:80] = 1
    forged = forge(PICTURE, alteration, mask)
    assert forged.dtype == np.float32
    assert np.abs(forged - PICTURE)[40:80, 40:80].mean() > 1
    np.testing.assert_array_equal(forged[:40], PICTURE[:40])


def test_masks_lie_in_the_middle_and_fade_at_their_edge() -> None:
    for seed in range(20):
        mask = draw_mask(draw_region(np.random.default_rng(seed)), 200)
        assert mask.shape == (200, 200, 1)
        assert 0.05 < mask.mean() < 0.6
        assert mask[100, 100] > 0.7
        assert np.any((mask > 0.1) & (mask < 0.6))


def test_drawn_alterations_can_be_seen_where_that_is_asked_for() -> None:
    mask = draw_mask(draw_region(np.random.default_rng(1)), 120)
    for seed in range(20):
        alteration = draw_visible_alteration(np.random.default_rng(seed), PICTURE, mask, trace=6)
        change = np.abs(forge(PICTURE, alteration, mask) - PICTURE).sum() / (3 * mask.sum())
        assert change >= 6


def test_a_flickering_alteration_is_near_its_own_but_never_the_same() -> None:
    rng = np.random.default_rng(2)
    alteration = draw_alteration(rng, side=200)
    frames = [flicker(rng, alteration, side=200) for _ in range(8)]
    assert len(set(frames)) == 8
    assert np.abs(np.mean([frame.contrast for frame in frames]) - alteration.contrast) < 0.1


def test_compression_and_rounding_keep_the_range() -> None:
    wild = PICTURE * 1.5 - 40
    assert compress(wild, 50).shape == PICTURE.shape
    assert to_bytes(np.asarray([[[-3.0, 254.6, 300.0]]], np.float32)).tolist() == [[[0, 255, 255]]]
