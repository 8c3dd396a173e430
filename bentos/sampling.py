"""Which frames of a video and which windows of a sound are looked at. Pure functions."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

KEYFRAME_REACH: Final = 0.5
"""How far from its moment, as a share of the step, a frame may be taken to save decoding its whole neighbourhood."""


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """The presentation times of a video's frames and of its keyframes, ascending, in any one unit."""

    frames: Sequence[int]
    keyframes: Sequence[int]


@dataclass(frozen=True, slots=True)
class Pick:
    """A frame to look at, and the keyframe from which decoding reaches it."""

    frame: int
    keyframe: int


def pick_frames(index: FrameIndex, count: int) -> tuple[Pick, ...]:
    """Pick `count` frames evenly in time, ascending, without repetition; all frames where there are not more.

    The time is divided into `count` equal parts; each part gives the keyframe nearest to its middle if it has one, else
    the frame nearest to its middle. Keyframes stand alone, every other frame needs all since the keyframe before it.
    """
    frames = index.frames
    if len(frames) <= count:
        chosen = list(frames)
    else:
        step = (frames[-1] - frames[0]) / count
        middles = [frames[0] + step * (part + 0.5) for part in range(count)]
        chosen = _distinct(frames, [_pick(index, middle, step * KEYFRAME_REACH) for middle in middles], count)
    return tuple(Pick(frame, _last_at_or_before(index.keyframes, frame)) for frame in chosen)


def pick_windows(total: int, *, samples: int, hop: int, most: int) -> tuple[tuple[int, ...], int]:
    """Starts of the windows over `total` samples, and how many windows there would be without the bound `most`.

    Windows begin every `hop` samples; a last one is aligned to the end, so that every sample is in a window. A sound
    shorter than one window has one, from 0. Beyond `most`, evenly chosen ones are kept, the first and last among them.
    """
    starts = list(range(0, max(total - samples, 0) + 1, hop))
    if starts[-1] + samples < total:
        starts.append(total - samples)
    if len(starts) <= most:
        return tuple(starts), len(starts)
    if most == 1:
        return (starts[0],), len(starts)
    kept = [starts[round(number * (len(starts) - 1) / (most - 1))] for number in range(most)]
    return tuple(kept), len(starts)


def _pick(index: FrameIndex, middle: float, reach: float) -> int:
    if index.keyframes:
        keyframe = _nearest(index.keyframes, middle)
        if abs(keyframe - middle) <= reach:
            return keyframe
    return _nearest(index.frames, middle)


def _distinct(frames: Sequence[int], chosen: Sequence[int], count: int) -> list[int]:
    """Ascending and without repetition; what bunched frame times made fall together is filled up from the others."""
    kept = set(chosen)
    spare = [frame for frame in frames if frame not in kept]
    missing = count - len(kept)
    if missing and spare:
        kept.update(spare[round(number * (len(spare) - 1) / max(missing - 1, 1))] for number in range(missing))
    return sorted(kept)


def _nearest(ascending: Sequence[int], moment: float) -> int:
    position = bisect_left(ascending, moment)
    around = ascending[max(position - 1, 0) : position + 1]
    return min(around, key=lambda value: abs(value - moment))


def _last_at_or_before(ascending: Sequence[int], moment: int) -> int:
    position = bisect_left(ascending, moment + 1)
    return ascending[position - 1] if position else moment
