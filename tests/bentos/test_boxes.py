import numpy as np
import pytest

from bentos.boxes import areas, grown, overlaps, shifted, squared, unsuppressed

BOXES = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [2, 2, 4, 4], [20, 20, 30, 40]], np.float32)


def test_overlaps_are_shares_of_the_union() -> None:
    found = overlaps(BOXES, BOXES)
    assert np.diag(found) == pytest.approx(1)
    assert found[0, 1] == found[1, 0] == pytest.approx(50 / 150)
    assert found[0, 2] == pytest.approx(4 / 100)
    assert found[0, 3] == 0


def test_over_the_smaller_a_box_inside_another_counts_whole() -> None:
    assert overlaps(BOXES, BOXES, over_smaller=True)[0, 2] == pytest.approx(1)


def test_boxes_without_area_overlap_nothing() -> None:
    empty = np.array([[3, 3, 3, 3], [8, 8, 2, 2]], np.float32)
    assert not overlaps(empty, BOXES).any()
    assert not areas(empty).any()


def test_no_boxes_give_no_rows() -> None:
    assert overlaps(np.empty((0, 4), np.float32), BOXES).shape == (0, 4)


def test_a_suppressed_box_still_suppresses() -> None:
    chain = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], bool)
    assert unsuppressed(chain).tolist() == [True, False, False]


def test_squares_keep_the_centre_and_hold_the_box() -> None:
    assert squared(BOXES)[3].tolist() == [15, 20, 35, 40]
    assert squared(BOXES)[0].tolist() == BOXES[0].tolist()


def test_offsets_are_shares_of_the_inclusive_sides() -> None:
    moved = shifted(BOXES[:1], np.array([[0.1, 0, -0.1, 0.5]], np.float32))
    assert moved[0] == pytest.approx([1.1, 0, 8.9, 15.5])


def test_boxes_grow_on_every_side() -> None:
    assert grown(BOXES, 0.5)[3].tolist() == [15, 10, 35, 50]
