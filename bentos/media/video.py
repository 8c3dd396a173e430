"""A video's bytes → crops of the faces in it, followed over time. Runs in a decoding process.

The packets are listed first, which costs little; then only those that the sampled frames need are decoded.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from bentos.contract import Box, Reason
from bentos.errors import UnreadableMediaError
from bentos.faces import Face, find_faces
from bentos.media.container import VIDEO_FORMATS, file_truncated, open_container
from bentos.media.crops import centre_square, cut, face_square, resolution_reasons
from bentos.media.frames import check_pixels, decode_picks, list_frames, list_stretch, measure_frames, video_stream
from bentos.media.options import StretchOptions, VideoOptions
from bentos.media.prepared import PreparedCrop, PreparedVideo, VideoLength
from bentos.media.thumbnail import NO_THUMBNAIL, make_thumbnail
from bentos.sampling import FrameIndex, pick_frames
from bentos.tracks import Sighting, link_faces

Pixels = NDArray[np.uint8]

TURNS: Final = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
"""How a frame becomes upright, by the degrees that the container asks for."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """A sampled frame reduced to what may be needed of it: its faces, largest first, and a crop of each.

    Where no face was found, the only crop is that of the middle.
    """

    time_s: float
    faces: tuple[Face, ...]
    boxes: tuple[Box, ...]
    crops: Pixels


@dataclass(slots=True)
class _Samples:
    """What was sampled: `picked` of `listed` frames were wanted, `all` are those that could be. Sizes are in pixels."""

    listed: int
    picked: int
    codec: str
    all: list[_Sample] = field(default_factory=list[_Sample])
    width: int = 0
    height: int = 0
    shown: Pixels | None = None
    faces_ms: float = 0.0


def prepare_video(medium: bytes | Path, options: VideoOptions) -> PreparedVideo:
    """Sample frames evenly in time, find and follow the faces in them, and cut them out.

    Raises:
        EmptyMediaError: There are no bytes.
        UnsupportedMediaError: The bytes are no video of a supported format and codec, whatever the file was called.
        TooManyPixelsError: A frame has more than `options.max_pixels`.
        MediaTooLongError: The video lasts longer than `options.max_seconds`.
        NoFramesError: There is no video in the file, or it has no frames.
        UnreadableMediaError: The file is damaged and not one sampled frame could be decoded.
    """
    started = time.perf_counter()
    with open_container(medium, formats=VIDEO_FORMATS, max_pixels=options.max_pixels) as container:
        stream = video_stream(container, options)
        index, seconds = list_frames(container, stream, options)
        samples = _sample_frames(container, stream, index, index.frames[0], options)
        announced = (container.duration or 0) / av.time_base
    unscored = (*_missing(samples), *file_truncated(seconds, announced))
    return _prepared(samples, seconds, unscored, options, whole="video", started=started)


def prepare_stretch(medium: bytes | Path, options: StretchOptions) -> PreparedVideo:
    """Do the same with one stretch of a video; only what that needs of the file is read and decoded.

    Errors are those of `prepare_video`, and MediaTooCostlyError where the stretch cannot be reached at a fair cost.
    """
    started = time.perf_counter()
    video, seconds = options.video, options.end_s - options.start_s
    with open_container(medium, formats=VIDEO_FORMATS, max_pixels=video.max_pixels) as container:
        stream = video_stream(container, video)
        unit = stream.time_base or 1
        start, end = (options.first + round(moment / unit) for moment in (options.start_s, options.end_s))
        index = list_stretch(container, stream, start, end, video)
        samples = _sample_frames(container, stream, index, options.first, video)
    return _prepared(samples, seconds, _missing(samples), video, whole="stretch", started=started)


def measure_video(medium: bytes | Path, options: VideoOptions) -> VideoLength:
    """Say how long a video is by its packets, which are all read once; nothing is decoded.

    Errors are those of `prepare_video`.
    """
    started = time.perf_counter()
    with open_container(medium, formats=VIDEO_FORMATS, max_pixels=options.max_pixels) as container:
        first, seconds = measure_frames(container, video_stream(container, options), options)
        announced = (container.duration or 0) / av.time_base
    return VideoLength(
        first=first,
        seconds=seconds,
        unscored=file_truncated(seconds, announced),
        decode_ms=(time.perf_counter() - started) * 1000,
    )


def _sample_frames(
    container: InputContainer, stream: VideoStream, index: FrameIndex, first: int, options: VideoOptions
) -> _Samples:
    """Frames evenly in the time of `index`, at moments counted from `first`. Raises `TooManyPixelsError`."""
    picks = pick_frames(index, options.frames)
    samples = _Samples(listed=len(index.frames), picked=len(picks), codec=stream.codec_context.name)
    for frame in decode_picks(container, stream, picks):
        check_pixels(frame.width, frame.height, options.max_pixels)
        picture = _upright_rgb(frame)
        samples.height, samples.width = picture.shape[:2]
        if options.thumbnail and len(samples.all) <= len(picks) // 2:
            samples.shown = picture
        searched = time.perf_counter()
        moment = float((frame.pts - first) * (stream.time_base or 0)) if frame.pts is not None else 0.0
        samples.all.append(_sample(picture, moment, options))
        samples.faces_ms += (time.perf_counter() - searched) * 1000
    if not samples.all:
        raise UnreadableMediaError
    return samples


def _prepared(
    samples: _Samples,
    seconds: float,
    unscored: tuple[Reason, ...],
    options: VideoOptions,
    *,
    whole: str,
    started: float,
) -> PreparedVideo:
    tracks, crops = _tracks(samples.all, options)
    found = sum(len(sample.faces) for sample in samples.all)
    return PreparedVideo(
        crops=crops,
        thumbnail=NO_THUMBNAIL if samples.shown is None else make_thumbnail(samples.shown),
        tracks=tracks,
        faces_found=found,
        frames_sampled=len(samples.all),
        width=samples.width,
        height=samples.height,
        duration_s=seconds,
        codec=samples.codec,
        reasons=_reasons(tracks, found, samples.listed, options, whole),
        unscored=unscored,
        decode_ms=(time.perf_counter() - started) * 1000 - samples.faces_ms,
        faces_ms=samples.faces_ms,
    )


def _upright_rgb(frame: VideoFrame) -> Pixels:
    picture = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    turn = TURNS.get(frame.rotation % 360)
    return picture if turn is None else np.asarray(cv2.rotate(picture, turn), np.uint8)


def _sample(picture: Pixels, time_s: float, options: VideoOptions) -> _Sample:
    height, width = picture.shape[:2]
    faces = find_faces(picture, options.search)[: 2 * options.most_tracks]
    boxes = tuple(face_square(face, options.shape.margin) for face in faces) or (centre_square(width, height),)
    return _Sample(time_s, faces, boxes, cut(picture, boxes, options.shape))


def _tracks(samples: Sequence[_Sample], options: VideoOptions) -> tuple[tuple[tuple[PreparedCrop, ...], ...], Pixels]:
    """The tracks and their crops; one track of the middles where no frame shows a face."""
    linked = link_faces([sample.faces for sample in samples], most=options.most_tracks)
    if not linked:
        linked = (tuple(Sighting(frame, 0) for frame in range(len(samples))),)
    crops: list[Pixels] = []
    tracks: list[tuple[PreparedCrop, ...]] = []
    for sightings in linked:
        track: list[PreparedCrop] = []
        for sighting in sightings:
            sample = samples[sighting.frame]
            confidence = sample.faces[sighting.face].confidence if sample.faces else 0.0
            box = sample.boxes[sighting.face]
            track.append(PreparedCrop(index=len(crops), box=box, confidence=confidence, time_s=sample.time_s))
            crops.append(sample.crops[sighting.face])
        tracks.append(tuple(track))
    return tuple(tracks), np.stack(crops)


def _reasons(
    tracks: Sequence[Sequence[PreparedCrop]], found: int, frames: int, options: VideoOptions, whole: str
) -> tuple[Reason, ...]:
    reasons: list[Reason] = []
    if not found:
        message = "No face was found; the middle of the frames was judged."
        reasons.append(Reason(code="no_face_found", message=message))
    if frames < options.fewest_frames:
        message = f"The {whole} has only {frames} frames; the model looks at {options.fewest_frames}."
        reasons.append(Reason(code="clip_too_short", message=message))
    typical = [sorted(track, key=lambda crop: crop.box.width)[len(track) // 2].box for track in tracks]
    return (*reasons, *resolution_reasons(typical, options.shape))


def _missing(samples: _Samples) -> tuple[Reason, ...]:
    missing = samples.picked - len(samples.all)
    if not missing:
        return ()
    message = f"{missing} of {samples.picked} sampled frames could not be decoded."
    return (Reason(code="frames_unreadable", message=message),)
