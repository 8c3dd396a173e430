"""Which frames of a video, windows of a sound and passages of a text are looked at. Pure functions."""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

KEYFRAME_REACH: Final = 0.5
"""How far from its moment, as a share of the step, a frame may be taken to save decoding its whole neighbourhood."""


RATE: Final = 16_000
"""Samples of a sound in a second, as all models of sound take them."""
SILENCE: Final = 10 ** (-60 / 20)
"""A clip that never exceeds -60 dB of full scale is silent to the ear and to the models."""
STRETCH_S: Final = 10.0
"""Length of a stretch of a long video in seconds: as long as the clips that models of video are made for, about."""
STRETCH_EVERY_S: Final = 30.0
"""Seconds of a long video for each of which one stretch is looked at, while that does not give too many."""
PASSAGE_S: Final = 300
"""Length of the passages in seconds that a long sound is decoded by."""


_SENTENCE_END: Final = re.compile(
    r"""[.!?\u2026\u3002\uff01\uff1f]["')\]\u00bb\u201d\u2019]*(?=\s)|[\u3002\uff01\uff1f]|\n\s*(?=\n)"""
)
_WORD_END: Final = re.compile(r"\S(?=\s)")
_EVEN: Final = 0.5
"""How far before its moment a passage may end for the sake of a sentence's or word's end, as a share of its length."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a video, in seconds from its first frame."""

    start_s: float
    end_s: float


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


def pick_stretches(seconds: float, *, most: int) -> tuple[Stretch, ...]:
    """Pick the stretches of a video of that length: one in the middle of each half minute, and never more than `most`.

    A video for which that would be more is divided into `most` equal parts instead of half minutes.
    """
    # Rounded, so that a last digit of the division does not add a stretch.
    count = max(1, min(most, math.ceil(round(seconds / STRETCH_EVERY_S, 6))))
    part = seconds / count
    length = min(part, STRETCH_S)
    starts = [part * number + (part - length) / 2 for number in range(count)]
    return tuple(Stretch(start, start + length) for start in starts)


def group_windows(starts: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Divide windows by their ascending starts, in samples, into passages of `PASSAGE_S` seconds; none is empty."""
    passages: dict[int, list[int]] = {}
    for start in starts:
        passages.setdefault(start // (PASSAGE_S * RATE), []).append(start)
    return tuple(tuple(passage) for passage in passages.values())


def pick_passages(
    text: str, *, characters: int, most: int, holds: Callable[[str], object] = bool
) -> tuple[tuple[tuple[int, int], ...], int]:
    """Spans of the passages of a text, and how many passages there would be without the bound `most`.

    Together the passages hold all of the text but the white space between them. Each has at most `characters`
    characters and ends where a sentence ends, else where a word ends, as near as may be to what makes all of them
    equally long; only a word that is longer than that is cut. Beyond `most`, evenly chosen ones are kept, the first
    and the last among them. A text of white space alone has none. Passages that hold nothing, as `holds` tells from
    their text, are left out as white space is.
    """
    spans: list[tuple[int, int]] = []
    start, stop = _solid(text, 0), len(text.rstrip())
    while start < stop:
        rest = stop - start
        end = stop if rest <= characters else _passage_end(text, start, rest / math.ceil(rest / characters), characters)
        span = start, start + len(text[start:end].rstrip())
        if holds(text[slice(*span)]):
            spans.append(span)
        start = _solid(text, end)
    if len(spans) <= most:
        return tuple(spans), len(spans)
    if most == 1:
        return (spans[0],), len(spans)
    kept = [spans[round(number * (len(spans) - 1) / (most - 1))] for number in range(most)]
    return tuple(kept), len(spans)


def _passage_end(text: str, start: int, aim: float, characters: int) -> int:
    """Where a passage ends that should be `aim` long and is at most `characters`."""
    first, last = start + math.ceil(aim * _EVEN), start + characters
    for ends in (_SENTENCE_END, _WORD_END):
        # One character more is looked at, because what follows an end tells that it is one.
        found = [match.end() for match in ends.finditer(text, first, min(last + 1, len(text))) if match.end() <= last]
        if found:
            return min(found, key=lambda end: abs(end - start - aim))
    return last


def _solid(text: str, start: int) -> int:
    """The first place from `start` on that is no white space."""
    while start < len(text) and text[start].isspace():
        start += 1
    return start


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
