"""Follows faces over the sampled frames of a video by the overlap of their boxes. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from bentos.boxes import Floats, grown, overlaps
from bentos.faces import Face

LEAST_OVERLAP: Final = 0.2
GROWTHS: Final = (0.0, 0.5)
"""Shares of its sides by which a box is grown before overlaps are taken: first not at all; then, for what is left, so
that a face is still followed that moved by its own width, since sampled frames can lie seconds apart. The idea is that
of Yang et al., 2023, "Hard to Track Objects with Irregular Motions and Similar Appearances? Make It Easier by Buffering
the Matching Space".
"""
LONGEST_GAP: Final = 2
"""Sampled frames in which a face may be missing without ending its track."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Face number `face` of frame number `frame`."""

    frame: int
    face: int


@dataclass(slots=True)
class _Track:
    sightings: list[Sighting]
    last: Face
    area: float = field(default=0.0)


def link_faces(frames: Sequence[Sequence[Face]], *, most: int) -> tuple[tuple[Sighting, ...], ...]:
    """The `most` largest tracks, by the area of their faces summed over the frames; each in time order.

    In every frame the pair of a track's last box and a face with the greatest intersection over union is joined first;
    what found no partner is tried once more with grown boxes.
    """
    tracks: list[_Track] = []
    for number, faces in enumerate(frames):
        open_tracks = [track for track in tracks if number - track.sightings[-1].frame <= LONGEST_GAP + 1]
        taken = _join(open_tracks, faces)
        for position, face in enumerate(faces):
            track = taken.get(position)
            if track is None:
                track = _Track([], face)
                tracks.append(track)
            track.sightings.append(Sighting(number, position))
            track.last = face
            track.area += face.area
    tracks.sort(key=lambda track: -track.area)
    return tuple(tuple(track.sightings) for track in tracks[:most])


def _join(tracks: Sequence[_Track], faces: Sequence[Face]) -> dict[int, _Track]:
    """The track that each face continues, by number of the face."""
    if not tracks or not faces:
        return {}
    lasts, nows = _corners([track.last for track in tracks]), _corners(faces)
    joined: dict[int, _Track] = {}
    free = np.ones((len(tracks), len(faces)), bool)
    for growth in GROWTHS:
        overlap = np.where(free, overlaps(grown(lasts, growth), grown(nows, growth)), 0)
        while overlap.max() >= LEAST_OVERLAP:
            track, face = (int(number) for number in np.unravel_index(overlap.argmax(), overlap.shape))
            joined[face] = tracks[track]
            free[track, :] = free[:, face] = False
            overlap = np.where(free, overlap, 0)
    return joined


def _corners(faces: Sequence[Face]) -> Floats:
    return np.array([[face.x1, face.y1, face.x2, face.y2] for face in faces], np.float64)
