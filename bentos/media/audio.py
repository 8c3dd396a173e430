"""A sound's bytes → windows of 16 kHz mono. Runs in a decoding process.

Decoding streams: beside the samples at 16 kHz nothing of the file is held.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import EOFError as EndOfFileError
from av.error import FFmpegError
from numpy.typing import NDArray

from bentos.contract import Reason
from bentos.errors import MediaTooLongError, NoSamplesError, UnreadableMediaError, UnsupportedMediaError
from bentos.media.container import AUDIO_CODECS, AUDIO_FORMATS, file_truncated, open_container
from bentos.media.options import AudioOptions
from bentos.media.prepared import PreparedAudio
from bentos.sampling import RATE, SILENCE, pick_windows

Samples = NDArray[np.float32]


@dataclass(slots=True)
class Loss:
    """Packets that were seen and those among them that could not be decoded."""

    packets: int = 0
    damaged: int = 0


def prepare_audio(medium: bytes | Path, options: AudioOptions) -> PreparedAudio:
    """Decode a sound to 16 kHz mono and cut it into windows of fixed length.

    Raises:
        EmptyMediaError: There are no bytes.
        UnsupportedMediaError: The bytes are no sound of a supported format and codec, whatever the file was called.
        MediaTooLongError: The sound lasts longer than `options.max_seconds`.
        NoSamplesError: There is no sound in the file, or it has no samples.
        UnreadableMediaError: The file is damaged and nothing of it could be decoded.
    """
    started = time.perf_counter()
    loss = Loss()
    with open_container(medium, formats=AUDIO_FORMATS) as container:
        stream = audio_stream(container)
        announced = (container.duration or 0) / av.time_base
        if announced > options.max_seconds:
            raise too_long(options)
        samples = _collect(resample(decode(container, stream, loss)), options)
        source = stream.codec_context
        rate, channels, codec = source.sample_rate, source.channels, source.name
    if not len(samples):
        raise UnreadableMediaError if loss.damaged else NoSamplesError

    seconds = len(samples) / RATE
    starts, wanted = pick_windows(len(samples), samples=options.samples, hop=options.hop, most=options.most_windows)
    return PreparedAudio(
        windows=cut(samples, starts, options.samples),
        spans=tuple((start / RATE, min(start + options.samples, len(samples)) / RATE) for start in starts),
        duration_s=seconds,
        sample_rate=rate,
        channels=channels,
        codec=codec,
        reasons=_reasons(samples, options),
        unscored=_unscored(loss, len(starts), wanted, seconds, announced),
        decode_ms=(time.perf_counter() - started) * 1000,
    )


def audio_stream(container: InputContainer) -> AudioStream:
    """The first sound of a file. Raises `NoSamplesError` or `UnsupportedMediaError`."""
    if not container.streams.audio:
        raise NoSamplesError("There is no sound in the file.")
    stream = container.streams.audio[0]
    # Without a decoder there is no context, which the library's types do not say.
    context = cast("AudioCodecContext | None", stream.codec_context)
    if context is None or context.name not in AUDIO_CODECS:
        raise UnsupportedMediaError("The sound's codec is not supported.")
    return stream


def decode(container: InputContainer, stream: AudioStream, loss: Loss) -> Iterator[AudioFrame]:
    """All frames; packets that cannot be decoded are counted and left out."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            loss.packets += 1
            yield from packet.decode()
        except EndOfFileError:
            return
        except FFmpegError:
            loss.damaged += 1


def resample(frames: Iterator[AudioFrame]) -> Iterator[Samples]:
    """16 kHz mono float32 blocks; a source that changes its rate or layout midway gets a resampler for each part."""
    resampler: AudioResampler | None = None
    kind: tuple[str, str, int] | None = None
    for frame in frames:
        if kind != (frame.format.name, frame.layout.name, frame.sample_rate):
            if resampler is not None:
                yield from map(_samples, resampler.resample(None))
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            resampler = AudioResampler(format="fltp", layout=frame.layout, rate=RATE)
        # Time stamps with gaps would be filled with silence or refused; only the order counts here.
        frame.pts = None
        if resampler is not None:
            yield from map(_samples, resampler.resample(frame))
    if resampler is not None:
        yield from map(_samples, resampler.resample(None))


def _samples(frame: AudioFrame) -> Samples:
    """The mean of the channels. FFmpeg's own mix to mono adds more than that up and then clips."""
    return np.asarray(frame.to_ndarray(), np.float32).mean(axis=0)


def _collect(blocks: Iterator[Samples], options: AudioOptions) -> Samples:
    """All samples, finite and within [-1, 1]. Raises `MediaTooLongError` as soon as there are too many."""
    most = round(options.max_seconds * RATE)
    held = np.empty(min(most, RATE * 30), np.float32)
    count = 0
    for block in blocks:
        if count + len(block) > most:
            raise too_long(options)
        if count + len(block) > len(held):
            held = np.concatenate([held[:count], np.empty(max(len(held), len(block)), np.float32)])
        held[count : count + len(block)] = block
        count += len(block)
    samples = held[:count]
    bring_into_range(samples)
    return samples


def bring_into_range(samples: Samples) -> None:
    """Make all samples finite and between -1 and 1, in place."""
    np.nan_to_num(samples, copy=False, posinf=1.0, neginf=-1.0)
    np.clip(samples, -1.0, 1.0, out=samples)


def cut(samples: Samples, starts: tuple[int, ...], length: int) -> Samples:
    """Windows [N, length]; a sound shorter than one is followed by zeros."""
    windows = np.zeros((len(starts), length), np.float32)
    for window, start in zip(windows, starts, strict=True):
        piece = samples[start : start + length]
        window[: len(piece)] = piece
    return windows


def _reasons(samples: Samples, options: AudioOptions) -> tuple[Reason, ...]:
    reasons: list[Reason] = []
    if len(samples) < options.samples:
        message = f"The clip lasts {len(samples) / RATE:.1f} s; the model listens to {options.samples / RATE:.1f} s."
        reasons.append(Reason(code="clip_too_short", message=message))
    if max(samples.max(), -samples.min()) < SILENCE:
        reasons.append(Reason(code="silent", message="Nothing can be heard in the clip."))
    return tuple(reasons)


def _unscored(loss: Loss, cut: int, wanted: int, seconds: float, announced: float) -> tuple[Reason, ...]:
    reasons: list[Reason] = []
    if cut < wanted:
        message = f"Only {cut} of {wanted} windows, spread evenly over the clip, were judged."
        reasons.append(Reason(code="windows_left_out", message=message))
    if loss.damaged:
        message = f"{loss.damaged} of {loss.packets} packets could not be decoded."
        reasons.append(Reason(code="sound_unreadable", message=message))
    return (*reasons, *file_truncated(seconds, announced))


def too_long(options: AudioOptions) -> MediaTooLongError:
    """The error for a sound that lasts longer than is allowed."""
    return MediaTooLongError(f"The sound lasts longer than {options.max_seconds:.0f} s.")
