"""The long media of the bench: a 60 s 1080p H.264 clip of a moving face, 10 minutes of sound, and a padded upload."""

import struct
from collections.abc import Generator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.bench.photographs import cut_head, fill_frame, load_backgrounds, place_head

CLIP_WIDTH: Final = 1920
CLIP_HEIGHT: Final = 1080
CLIP_RATE: Final = 30
CLIP_BITS_PER_SECOND: Final = 6_000_000
"""About what phones and video sites give 1080p."""
SOUND_RATE: Final = 44_100
PADDING_BLOCK: Final = 1 << 20


def make_clip(file: Path, *, seconds: float, seed: int) -> None:
    """Write an MP4, H.264 with x264's own choice of key frames: a face wandering over a slowly moving background."""
    rng = np.random.default_rng(seed)
    # The background is larger than the frame, so that the camera can pan over it.
    scene = fill_frame(load_backgrounds()[0], rng, CLIP_WIDTH + 240, CLIP_HEIGHT + 135)
    head, mask = cut_head()
    grain = rng.normal(0, 4.0, (CLIP_HEIGHT + 64, CLIP_WIDTH + 64)).astype(np.int8)
    with _aside(file) as unfinished, av.open(str(unfinished), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=CLIP_RATE, options={"preset": "veryfast"})
        stream.bit_rate = CLIP_BITS_PER_SECOND
        stream.width, stream.height, stream.pix_fmt = CLIP_WIDTH, CLIP_HEIGHT, "yuv420p"
        for number in range(round(seconds * CLIP_RATE)):
            time_s = number / CLIP_RATE
            left = round(120 + 120 * np.sin(time_s / 7))
            top = round(67 + 67 * np.cos(time_s / 11))
            frame = scene[top : top + CLIP_HEIGHT, left : left + CLIP_WIDTH].copy()
            centre = (960 + 420 * np.sin(time_s / 3), 540 + 160 * np.sin(time_s / 2))
            place_head(frame, head, mask, centre, 2.4 + 0.4 * np.sin(time_s / 5))
            down, across = rng.integers(0, 64, 2)
            noise = grain[down : down + CLIP_HEIGHT, across : across + CLIP_WIDTH, None]
            noisy = np.asarray(cv2.add(frame, np.repeat(noise, 3, axis=2), dtype=cv2.CV_8U), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode())


def make_sound(file: Path, *, seconds: float, seed: int) -> None:
    """Write an MP3, 44.1 kHz stereo: voiced syllables and breath at the pace of speech."""
    rng = np.random.default_rng(seed)
    with _aside(file) as unfinished, av.open(str(unfinished), "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=SOUND_RATE, layout="stereo")
        stream.bit_rate = 128_000
        position = 0
        while position < seconds * SOUND_RATE:
            samples = speak(rng, SOUND_RATE)
            frame = av.AudioFrame.from_ndarray(np.stack([samples, 0.8 * samples]), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, position, Fraction(1, SOUND_RATE)
            container.mux(stream.encode(frame))
            position += len(samples)
        container.mux(stream.encode(None))


def speak(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """`count` samples of a second-long syllable pattern in [-1, 1]: harmonics of a gliding pitch, and noise."""
    time_s = np.arange(count) / SOUND_RATE
    pitch = rng.uniform(90, 220) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 3) * time_s))
    phase = 2 * np.pi * np.cumsum(pitch) / SOUND_RATE
    voice = sum(np.sin(order * phase + rng.uniform(0, 6)) / order for order in range(1, 16))
    syllables = np.clip(np.sin(2 * np.pi * rng.uniform(3, 5) * time_s + rng.uniform(0, 6)) + 0.2, 0, 1)
    return (0.2 * syllables * voice + rng.normal(0, 0.005, count)).clip(-1, 1).astype(np.float32)


def pad_mp4(source: Path, file: Path, size: int) -> None:
    """Copy an MP4 and append a `free` box (ISO/IEC 14496-12), so that it still plays and has exactly `size` bytes.

    Raises:
        ValueError: The source is larger than that.
    """
    content = source.read_bytes()
    padding = size - len(content)
    header = struct.pack(">I4sQ", 1, b"free", padding)  # Size 1: the real one follows as 64 bits.
    if padding < len(header):
        raise ValueError(f"{source} has {len(content)} bytes, more than {size}")
    with _aside(file) as unfinished, unfinished.open("wb") as output:
        output.write(content + header)
        left = padding - len(header)
        while left > 0:
            output.write(bytes(min(left, PADDING_BLOCK)))
            left -= PADDING_BLOCK


@contextmanager
def _aside(file: Path) -> Generator[Path]:
    """A path beside `file` that takes its name when the block ends well, so that no half-made file is ever used."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.part")
    yield unfinished
    unfinished.replace(file)
