"""Steadies the verdicts on the frames of a camera. Pure.

A camera sends the same scene again and again, and single frames are blurred or badly lit: a verdict that jumps with
each of them is of no use to who watches. So the answer to a frame is the mean of the log-odds of the last frames
(Satopää et al., 2014, "Combining multiple probability predictions using a simple logit model"), each with a weight that
halves every two seconds. Weights by age rather than by count make it follow a change of scene equally fast however
many frames a second come. Unlike with a median, a frame that is clearly forged counts for more than one that barely is;
but no single frame may count without bound, so scores beyond 0.02 and 0.98 count as these.
"""

import math
from collections.abc import Sequence
from typing import Final

WINDOW_S: Final = 10.0
"""Frames older than this are forgotten."""
MOST_FRAMES: Final = 32
"""More frames than this in the window add nothing."""
_HALF_LIFE_S: Final = 2.0
_BOUND: Final = 0.02


def steady(frames: Sequence[tuple[float, float]]) -> float:
    """The steadied p_fake.

    Args:
        frames: Age in seconds and p_fake of each frame, at least one; an age below 0 counts as 0.
    """
    weights = [0.5 ** (max(age_s, 0.0) / _HALF_LIFE_S) for age_s, _ in frames]
    odds = [_log_odds(p_fake) for _, p_fake in frames]
    mean = math.fsum(weight * one for weight, one in zip(weights, odds, strict=True)) / math.fsum(weights)
    return min(max(1 / (1 + math.exp(-mean)), _lowest(frames)), _highest(frames))


def _log_odds(p_fake: float) -> float:
    bounded = min(max(p_fake, _BOUND), 1 - _BOUND)
    return math.log(bounded) - math.log1p(-bounded)


def _lowest(frames: Sequence[tuple[float, float]]) -> float:
    return min(p_fake for _, p_fake in frames)


def _highest(frames: Sequence[tuple[float, float]]) -> float:
    return max(p_fake for _, p_fake in frames)
