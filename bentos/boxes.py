"""Arithmetic on boxes, as float arrays [N, 4] of x1, y1, x2, y2 in pixels: overlap, suppression, squares, regression.

Pure functions; `bentos.faces` uses them to find faces and `bentos.tracks` to follow them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def overlaps(boxes: Floats, others: Floats, *, over_smaller: bool = False) -> Floats:
    """Intersection over union of every box [N, 4] with every other [M, 4], as [N, M] in [0, 1].

    With `over_smaller` the intersection is divided by the smaller of the two areas, so that a box inside another
    counts as 1. Boxes without area overlap nothing.
    """
    columns, rows = boxes.T[:, :, None], others.T[:, None, :]
    width = np.minimum(columns[2], rows[2]) - np.maximum(columns[0], rows[0])
    height = np.minimum(columns[3], rows[3]) - np.maximum(columns[1], rows[1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    area, other_area = areas(boxes)[:, None], areas(others)[None, :]
    whole = np.minimum(area, other_area) if over_smaller else area + other_area - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def areas(boxes: Floats) -> Floats:
    """Area of each box [N, 4] as [N]; never negative."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def unsuppressed(too_close: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of N boxes, best first, no better box is too close to; `too_close` is symmetric, [N, N].

    A box that was itself suppressed still suppresses: one matrix step instead of a loop, and what the nets' published
    weights are commonly run with.
    """
    return ~np.logical_or.reduce(np.triu(too_close, k=1), axis=0)


def squared(boxes: Floats) -> Floats:
    """The smallest squares about the same centres that hold the boxes."""
    half = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) / 2
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    return np.stack([x - half, y - half, x + half, y + half], axis=1)


def shifted(boxes: Floats, offsets: Floats) -> Floats:
    """Boxes moved by offsets [N, 4], which are shares of each box's width and height (counted inclusively)."""
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    return boxes + offsets * np.concatenate([sides, sides], axis=1)


def grown(boxes: Floats, share: float) -> Floats:
    """Boxes with that share of their width and height added on every side."""
    added = (boxes[:, 2:] - boxes[:, :2]) * share
    return boxes + np.concatenate([-added, added], axis=1)
