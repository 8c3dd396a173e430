"""Clips on which an imported video model is held to its original, each one face over its sampled frames.

They are faces followed through the project's sample videos and clips of a virtual camera, or somebody's own videos.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.contract import Box
from bentos.errors import DetectionError
from bentos.media.crops import cut
from bentos.media.options import VideoOptions
from bentos.media.prepared import CropShape
from bentos.media.video import prepare_video
from scripts.demo.clips import draw_clips
from scripts.demo.samples import MEDIA
from scripts.models.errors import RefusedError
from scripts.models.importing.wishes import Wishes

Clips = NDArray[np.uint8]

MOST: Final = 16
"""Clips of a folder that are looked at."""
_PAIRS: Final = 1
_SEED: Final = 20_262


def clips(wishes: Wishes, shape: CropShape, frames: int) -> Clips:
    """Clips of the folder that the command line names, else those that the project carries: uint8 [n, T, H, W, 3].

    Raises:
        RefusedError: There is not one clip in the folder.
    """
    return clips_of(wishes.samples, shape, frames) if wishes.samples else carried_clips(shape, frames)


def carried_clips(shape: CropShape, frames: int) -> Clips:
    """Crops of one face over `frames` sampled frames each, genuine and forged: uint8 RGB [n, frames, H, W, 3].

    The same ones at every call.
    """
    filmed = [_followed(MEDIA / name, shape, frames) for name in ("genuine.mp4", "forged.mp4")]
    drawn = draw_clips(_SEED, "test", 0, _PAIRS)
    moments = np.linspace(0, drawn.shape[2] - 1, frames).round().astype(int)
    whole = Box(x=0, y=0, width=drawn.shape[4], height=drawn.shape[3])
    moved = [
        np.concatenate([cut(clip[moment], [whole], shape) for moment in moments]) for pair in drawn for clip in pair
    ]
    return np.stack([*(clip for clip in filmed if clip is not None), *moved]).astype(np.uint8)


def clips_of(folder: Path, shape: CropShape, frames: int) -> Clips:
    """Crops of the most visible face of each video in a folder and those below it; at most `MOST` videos.

    Files that are no videos, and videos of fewer than `frames` frames, are left out.

    Raises:
        RefusedError: There is not one clip.
    """
    found: list[Clips] = []
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        clip = _followed(file, shape, frames)
        if clip is not None:
            found.append(clip)
        if len(found) >= MOST:
            break
    if not found:
        raise RefusedError(
            f"{folder} holds no video of {frames} frames or more that can be read; give --samples a folder of videos."
        )
    return np.stack(found)


def _followed(file: Path, shape: CropShape, frames: int) -> Clips | None:
    """The longest track of a video, [frames, H, W, 3]; None where there is none of that length."""
    try:
        video = prepare_video(file, VideoOptions(shape=shape, frames=frames))
    except DetectionError:
        return None
    track = max(video.tracks, key=len)
    return video.crops[[crop.index for crop in track]] if len(track) == frames else None
