"""A long sound → its length, then windows of one passage after the other. Runs in a decoding process.

A passage is found by its time stamps, so that nothing before it has to be decoded or held.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from bentos.errors import NoSamplesError
from bentos.media.audio import Loss, Samples, audio_stream, bring_into_range, cut, decode, resample, too_long
from bentos.media.container import AUDIO_FORMATS, file_truncated, open_container
from bentos.media.options import AudioOptions, PassageOptions
from bentos.media.prepared import PreparedPassage, SoundLength
from bentos.sampling import RATE

RUN_UP_S: Final = 0.5
"""How much earlier decoding begins: codecs need a few packets until what they give is right."""
LEAST_SHARE: Final = 0.5
"""A window of which less is there than this share, because the sound ends or could not be read, is left out."""


class _NoWayInError(Exception):
    """A file without an index or marks to enter it by."""


@dataclass(slots=True)
class _Clock:
    """The time of the first frame that was decoded, in seconds of the file; None before, or where frames have none."""

    start_s: float | None = None


def measure_audio(medium: bytes | Path, options: AudioOptions) -> SoundLength:
    """Say how long a sound is by its packets, which are all read once; nothing is decoded.

    Raises:
        EmptyMediaError: There are no bytes.
        UnsupportedMediaError: The bytes are no sound of a supported format and codec, whatever the file was called.
        MediaTooLongError: The sound lasts longer than `options.max_seconds`.
        NoSamplesError: There is no sound in the file.
    """
    started = time.perf_counter()
    with open_container(medium, formats=AUDIO_FORMATS) as container:
        stream = audio_stream(container)
        announced = (container.duration or 0) / av.time_base
        first_s, seconds = _extent(container, stream, options)
        source = stream.codec_context
        return SoundLength(
            first_s=first_s,
            seconds=seconds,
            sample_rate=source.sample_rate,
            channels=source.channels,
            codec=source.name,
            unscored=file_truncated(seconds, announced),
            decode_ms=(time.perf_counter() - started) * 1000,
        )


def prepare_passage(medium: bytes | Path, options: PassageOptions) -> PreparedPassage:
    """Decode one passage to 16 kHz mono and cut its windows out; those that are not there are left out.

    Raises:
        UnsupportedMediaError: The bytes are no sound of a supported format and codec.
        NoSamplesError: There is no sound in the file.
    """
    started = time.perf_counter()
    length, loss, begin = options.audio.samples, Loss(), options.starts[0]
    try:
        samples = _decode(medium, options, loss, enter_s=options.first_s + begin / RATE - RUN_UP_S)
    except _NoWayInError:
        samples = _decode(medium, options, loss, enter_s=None)
    starts = tuple(start for start in options.starts if len(samples) - (start - begin) >= length * LEAST_SHARE)
    ends = begin + len(samples)
    return PreparedPassage(
        windows=cut(samples, tuple(start - begin for start in starts), length),
        spans=tuple((start / RATE, min(start + length, ends) / RATE) for start in starts),
        peak=float(np.abs(samples).max(initial=0)),
        packets=loss.packets,
        damaged=loss.damaged,
        decode_ms=(time.perf_counter() - started) * 1000,
    )


def _extent(container: InputContainer, stream: AudioStream, options: AudioOptions) -> tuple[float, float]:
    """The time at which a sound begins and how many seconds it lasts."""
    unit = float(stream.time_base or 0)
    first, last, added = math.inf, -math.inf, 0.0
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            seconds = (packet.duration or 0) * unit
            added += seconds
            moment = packet.pts if packet.pts is not None else packet.dts
            if moment is not None:
                first, last = min(first, moment * unit), max(last, moment * unit + seconds)
            if max(last - first, added) > options.max_seconds:
                raise too_long(options)
    except FFmpegError:
        # The rest of the file cannot be read; what was seen so far can still be judged.
        pass
    if last <= first:
        first, last = 0.0, added
    if last <= first:
        raise NoSamplesError
    return first, last - first


def _decode(medium: bytes | Path, options: PassageOptions, loss: Loss, *, enter_s: float | None) -> Samples:
    """The samples of a passage, decoded from `enter_s` on or from the beginning of the file.

    Raises:
        _NoWayInError: The file cannot be entered in the middle; only one that is opened anew starts at its beginning.
    """
    clock = _Clock()
    with open_container(medium, formats=AUDIO_FORMATS) as container:
        stream = audio_stream(container)
        if enter_s is not None:
            try:
                container.seek(max(0, round(enter_s / (stream.time_base or 1))), stream=stream)
            except FFmpegError as error:
                raise _NoWayInError from error
        return _collect(resample(_timed(decode(container, stream, loss), clock)), clock, options)


def _timed(frames: Iterator[AudioFrame], clock: _Clock) -> Iterator[AudioFrame]:
    for frame in frames:
        if clock.start_s is None and frame.pts is not None:
            clock.start_s = float(frame.pts * (frame.time_base or 0))
        yield frame


def _collect(blocks: Iterator[Samples], clock: _Clock, options: PassageOptions) -> Samples:
    """The samples of the passage, as far as they are there, finite and within [-1, 1]; stops when it has them."""
    size = options.starts[-1] + options.audio.samples - options.starts[0]
    wanted_s = options.first_s + options.starts[0] / RATE
    held = np.zeros(size, np.float32)
    position: int | None = None
    for block in blocks:
        if position is None:
            position = 0 if clock.start_s is None else round((clock.start_s - wanted_s) * RATE)
        # What lies before the passage is dropped; a hole at its beginning stays silent.
        piece = block[max(0, -position) :]
        at = max(0, position)
        held[at : at + len(piece)] = piece[: max(0, size - at)]
        position += len(block)
        if position >= size:
            break
    samples = held[: min(size, max(0, position or 0))]
    bring_into_range(samples)
    return samples
