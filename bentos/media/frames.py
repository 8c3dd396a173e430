"""The frames of a video's stream: lists them by their packets, which costs little, and decodes what is needed."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

import av
from av.container import InputContainer
from av.error import EOFError as EndOfFileError
from av.error import FFmpegError
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from bentos.errors import (
    MediaTooCostlyError,
    MediaTooLongError,
    NoFramesError,
    TooManyPixelsError,
    UnsupportedMediaError,
)
from bentos.media.container import VIDEO_CODECS
from bentos.media.options import VideoOptions
from bentos.sampling import FrameIndex, Pick

THREADS: Final = min(4, os.cpu_count() or 1)
MOST_RATE: Final = 300
"""More frames a second than this is no video but a way to keep us listing packets."""
RUN_UPS_S: Final = (0.0, 10.0, 60.0)
"""How much earlier than a stretch its frames are listed from, one after the other until a keyframe is there."""


def video_stream(container: InputContainer, options: VideoOptions) -> VideoStream:
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
    check_pixels(context.width, context.height, options.max_pixels)
    if (container.duration or 0) / av.time_base > options.max_seconds:
        raise _too_long(options)
    context.options = {"max_pixels": str(options.max_pixels)}
    context.thread_count = THREADS
    context.thread_type = "AUTO"
    # Frames that no other frame needs are left out: half the work, and the next frame is a few hundredths away.
    context.skip_frame = "NONREF"
    return stream


def list_frames(container: InputContainer, stream: VideoStream, options: VideoOptions) -> tuple[FrameIndex, float]:
    """The times of all frames in units of the stream, from its packets alone, and the seconds that they span."""
    frames: list[int] = []
    keyframes: list[int] = []
    longest = round(options.max_seconds / (stream.time_base or 1))
    try:
        for packet in _packets(container, stream):
            frames.append(packet.moment)
            if packet.keyframe:
                keyframes.append(packet.moment)
            if packet.moment - frames[0] > longest or len(frames) > options.max_seconds * MOST_RATE:
                raise _too_long(options)
    except FFmpegError:
        # The rest of the file cannot be read; what was listed so far can still be judged.
        pass
    if not frames:
        raise NoFramesError
    frames, keyframes = sorted(set(frames)), sorted(set(keyframes))
    span = frames[-1] - frames[0]
    last = span / max(len(frames) - 1, 1)
    return FrameIndex(frames, keyframes), float((span + last) * (stream.time_base or 0))


def measure_frames(container: InputContainer, stream: VideoStream, options: VideoOptions) -> tuple[int, float]:
    """The time of the first frame in units of the stream, and the seconds from there to the end; keeps no list."""
    first = last = None
    count = 0
    try:
        for packet in _packets(container, stream):
            first = packet.moment if first is None else min(first, packet.moment)
            last = packet.moment if last is None else max(last, packet.moment)
            count += 1
            seconds = float((last - first) * (stream.time_base or 0))
            if seconds > options.max_seconds or count > options.max_seconds * MOST_RATE:
                raise _too_long(options)
    except FFmpegError:
        # The rest of the file cannot be read; what was seen so far can still be judged.
        pass
    if first is None or last is None:
        raise NoFramesError
    return first, float((last - first) * (1 + 1 / max(count - 1, 1)) * (stream.time_base or 0))


def list_stretch(
    container: InputContainer, stream: VideoStream, start: int, end: int, options: VideoOptions
) -> FrameIndex:
    """The times of the frames in [start, end), in units of the stream, and of the keyframes that they are reached from.

    Where there are none, as in a slide show, it is the last frame before.

    Raises:
        NoFramesError: There is none before either.
        MediaTooCostlyError: Too many frames lie between the last keyframe and the end of the stretch.
    """
    index = FrameIndex((), ())
    for run_up_s in RUN_UPS_S:
        entry = start - round(run_up_s / (stream.time_base or 1))
        index = _list_from(container, stream, entry, range(start, end), options)
        if index.frames and index.keyframes and index.keyframes[0] <= index.frames[0]:
            break
    if not index.frames:
        raise NoFramesError
    return index


def _list_from(
    container: InputContainer, stream: VideoStream, seek: int, within: range, options: VideoOptions
) -> FrameIndex:
    frames: list[int] = []
    keyframes: list[int] = []
    try:
        _seek(container, stream, seek)
        for packet in _packets(container, stream):
            if packet.keyframe:
                if packet.moment <= within.start:
                    # What lies before it is not needed. So the list stays short where seeking only went to the start.
                    frames, keyframes = [], []
                keyframes.append(packet.moment)
            frames.append(packet.moment)
            if len(frames) > options.max_seconds * MOST_RATE:
                raise MediaTooCostlyError
            # Packets come in the order of decoding, in which a frame's time may be that of a later one.
            if packet.decoded >= within.stop:
                break
    except FFmpegError:
        # The rest cannot be read; what was listed so far can still be judged.
        pass
    before = [moment for moment in frames if moment < within.stop]
    inside = [moment for moment in before if moment >= within.start]
    return FrameIndex(sorted(set(inside)) or sorted(before)[-1:], sorted(set(keyframes)))


def _seek(container: InputContainer, stream: VideoStream, moment: int) -> None:
    """Go to the last keyframe at or before a moment; where a file has no marks to go by, stay somewhere before."""
    with contextlib.suppress(FFmpegError):
        container.seek(moment, stream=stream)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A packet's frame: when it is shown and when it is decoded, in units of the stream."""

    moment: int
    decoded: int
    keyframe: bool


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[_Listed]:
    """All packets from where the container stands that hold something and have a time."""
    for packet in container.demux(stream):
        moment = packet.pts if packet.pts is not None else packet.dts
        if moment is not None and packet.size:
            yield _Listed(moment, moment if packet.dts is None else packet.dts, packet.is_keyframe)


def decode_picks(container: InputContainer, stream: VideoStream, picks: Sequence[Pick]) -> Iterator[VideoFrame]:
    """The picked frames in order, or the nearest after each; damaged ones are left out."""
    position: int | None = None
    frames: Iterator[VideoFrame] = iter(())
    for pick in picks:
        if position is None or pick.keyframe > position:
            _seek(container, stream, pick.keyframe)
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


def check_pixels(width: int, height: int, most: int) -> None:
    """Raise `TooManyPixelsError` where a frame has more than `most`."""
    if width * height > most:
        raise TooManyPixelsError(f"The video has {width} x {height} pixels; at most {most:,} are allowed.")


def _too_long(options: VideoOptions) -> MediaTooLongError:
    return MediaTooLongError(f"The video lasts longer than {options.max_seconds:.0f} s.")
