"""A video's bytes → crops of the faces in it, followed over time. Runs in a decoding process.

The packets are listed first, which costs little; then only those that the sampled frames need are decoded.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.error import EOFError as EndOfFileError
from av.error import FFmpegError
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from bentos.contract import Box, Reason
from bentos.errors import (
    MediaTooLongError,
    NoFramesError,
    TooManyPixelsError,
    UnreadableMediaError,
    UnsupportedMediaError,
)
from bentos.faces import Face, find_faces
from bentos.media.container import VIDEO_CODECS, VIDEO_FORMATS, open_container
from bentos.media.crops import centre_square, cut, face_square, resolution_reasons
from bentos.media.options import VideoOptions
from bentos.media.prepared import PreparedCrop, PreparedVideo
from bentos.media.thumbnail import NO_THUMBNAIL, make_thumbnail
from bentos.sampling import FrameIndex, Pick, pick_frames
from bentos.tracks import Sighting, link_faces

Pixels = NDArray[np.uint8]

THREADS: Final = min(4, os.cpu_count() or 1)
TURNS: Final = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
"""How a frame becomes upright, by the degrees that the container asks for."""
MOST_RATE: Final = 300
"""More frames a second than this is no video but a way to keep us listing packets."""
CUT_SHORT: Final = 0.9
"""A file that holds less than this share of the time it announces was cut off."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """A sampled frame reduced to what may be needed of it: its faces, largest first, and a crop of each.

    Where no face was found, the only crop is that of the middle.
    """

    time_s: float
    faces: tuple[Face, ...]
    boxes: tuple[Box, ...]
    crops: Pixels


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
    faces_ms = 0.0
    samples: list[_Sample] = []
    shown: Pixels | None = None
    width = height = 0
    with open_container(medium, formats=VIDEO_FORMATS, max_pixels=options.max_pixels) as container:
        stream = _video_stream(container, options)
        index, seconds = _list_frames(container, stream, options)
        picks = pick_frames(index, options.frames)
        announced = (container.duration or 0) / av.time_base
        for frame in _decode(container, stream, picks):
            _check_pixels(frame.width, frame.height, options.max_pixels)
            picture = _upright_rgb(frame)
            height, width = picture.shape[:2]
            if options.thumbnail and len(samples) <= len(picks) // 2:
                shown = picture
            searched = time.perf_counter()
            moment = float((frame.pts - index.frames[0]) * (stream.time_base or 0)) if frame.pts is not None else 0.0
            samples.append(_sample(picture, moment, options))
            faces_ms += (time.perf_counter() - searched) * 1000
        codec = stream.codec_context.name
    if not samples:
        raise UnreadableMediaError
    tracks, crops = _tracks(samples, options)
    found = sum(len(sample.faces) for sample in samples)
    return PreparedVideo(
        crops=crops,
        thumbnail=NO_THUMBNAIL if shown is None else make_thumbnail(shown),
        tracks=tracks,
        faces_found=found,
        frames_sampled=len(samples),
        width=width,
        height=height,
        duration_s=seconds,
        codec=codec,
        reasons=_reasons(tracks, found, len(index.frames), options),
        unscored=_unscored(len(picks) - len(samples), len(picks), seconds, announced),
        decode_ms=(time.perf_counter() - started) * 1000 - faces_ms,
        faces_ms=faces_ms,
    )


def _video_stream(container: InputContainer, options: VideoOptions) -> VideoStream:
    """The first stream that is a video and not a cover picture, ready to decode, after its header was checked."""
    cover = Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        raise NoFramesError("There is no video in the file.")
    stream = streams[0]
    # Without a decoder there is no context, which the library's types do not say.
    context = cast("VideoCodecContext | None", stream.codec_context)
    if context is None or context.name not in VIDEO_CODECS:
        raise UnsupportedMediaError("The video's codec is not supported.")
    _check_pixels(context.width, context.height, options.max_pixels)
    if (container.duration or 0) / av.time_base > options.max_seconds:
        raise MediaTooLongError(f"The video lasts longer than {options.max_seconds:.0f} s.")
    context.options = {"max_pixels": str(options.max_pixels)}
    context.thread_count = THREADS
    context.thread_type = "AUTO"
    # Frames that no other frame needs are left out: half the work, and the next frame is a few hundredths away.
    context.skip_frame = "NONREF"
    return stream


def _list_frames(container: InputContainer, stream: VideoStream, options: VideoOptions) -> tuple[FrameIndex, float]:
    """The times of all frames in units of the stream, from its packets alone, and the seconds that they span."""
    frames: list[int] = []
    keyframes: list[int] = []
    longest = round(options.max_seconds / (stream.time_base or 1))
    try:
        for packet in container.demux(stream):
            moment = packet.pts if packet.pts is not None else packet.dts
            if moment is None or packet.size == 0:
                continue
            frames.append(moment)
            if packet.is_keyframe:
                keyframes.append(moment)
            if moment - frames[0] > longest or len(frames) > options.max_seconds * MOST_RATE:
                raise MediaTooLongError(f"The video lasts longer than {options.max_seconds:.0f} s.")
    except FFmpegError:
        # The rest of the file cannot be read; what was listed so far can still be judged.
        pass
    if not frames:
        raise NoFramesError
    frames, keyframes = sorted(set(frames)), sorted(set(keyframes))
    span = frames[-1] - frames[0]
    last = span / max(len(frames) - 1, 1)
    return FrameIndex(frames, keyframes), float((span + last) * (stream.time_base or 0))


def _decode(container: InputContainer, stream: VideoStream, picks: Sequence[Pick]) -> Iterator[VideoFrame]:
    """The picked frames in order, or the nearest after each; damaged ones are left out."""
    position: int | None = None
    frames: Iterator[VideoFrame] = iter(())
    for pick in picks:
        if position is None or pick.keyframe > position:
            container.seek(pick.keyframe, stream=stream)
            frames = _frames(container, stream)
        elif position >= pick.frame:
            continue
        for frame in frames:
            if frame.pts is None:
                continue
            position = frame.pts
            if position >= pick.frame:
                if not frame.is_corrupt:
                    yield frame
                break


def _frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """All frames from where the container stands; what cannot be decoded is left out."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from packet.decode()
        except EndOfFileError:
            return
        except FFmpegError:
            continue


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
    tracks: Sequence[Sequence[PreparedCrop]], found: int, frames: int, options: VideoOptions
) -> tuple[Reason, ...]:
    reasons: list[Reason] = []
    if not found:
        message = "No face was found; the middle of the frames was judged."
        reasons.append(Reason(code="no_face_found", message=message))
    if frames < options.fewest_frames:
        message = f"The video has only {frames} frames; the model looks at {options.fewest_frames}."
        reasons.append(Reason(code="clip_too_short", message=message))
    typical = [sorted(track, key=lambda crop: crop.box.width)[len(track) // 2].box for track in tracks]
    return (*reasons, *resolution_reasons(typical, options.shape))


def _unscored(missing: int, picked: int, seconds: float, announced: float) -> tuple[Reason, ...]:
    reasons: list[Reason] = []
    if missing:
        message = f"{missing} of {picked} sampled frames could not be decoded."
        reasons.append(Reason(code="frames_unreadable", message=message))
    if seconds < announced * CUT_SHORT:
        message = f"The file ends after {seconds:.1f} of {announced:.1f} s; the rest was not judged."
        reasons.append(Reason(code="file_truncated", message=message))
    return tuple(reasons)


def _check_pixels(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise TooManyPixelsError(f"The video has {width} x {height} pixels; at most {most:,} are allowed.")
