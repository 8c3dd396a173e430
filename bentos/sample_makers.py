"""Makes the samples of `bentos.samples`, small and of nobody; runs in a decoding process."""

import io
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from bentos.contract import Modality
from bentos.samples import Sample, SampleOptions

SIDE: Final = 256
"""Side of the pictures in pixels."""
FRAMES: Final = 8
SAMPLE_RATE: Final = 16_000


def sample_image() -> bytes:
    """Return a JPEG of a gradient."""
    return cv2.imencode(".jpg", _gradient(0))[1].tobytes()


def sample_video() -> bytes:
    """Return an MP4 of a moving gradient, eight frames at eight frames a second."""
    file = io.BytesIO()
    with av.open(file, mode="w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=FRAMES)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for index in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_gradient(16 * index), format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def sample_audio() -> bytes:
    """Return a WAV of three seconds of a tone with faint noise."""
    time = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(0).normal(scale=0.01, size=time.size)
    samples = ((0.3 * np.sin(2 * np.pi * 220 * time) + noise) * 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE)
        sound.writeframes(samples.tobytes())
    return file.getvalue()


def sample_text() -> bytes:
    """Return a few sentences in UTF-8."""
    return ("This text was written to see that texts are judged. " * 4).strip().encode()


_MAKERS: Final[Mapping[Modality, Callable[[], bytes]]] = {
    Modality.IMAGE: sample_image,
    Modality.VIDEO: sample_video,
    Modality.AUDIO: sample_audio,
    Modality.TEXT: sample_text,
}


def make_sample(_medium: bytes | Path, options: SampleOptions) -> Sample:
    """Return a medium of the kind that is asked for; what every task is given first is not needed here."""
    return Sample(np.frombuffer(_MAKERS[options.modality](), np.uint8))


def _gradient(offset: int) -> NDArray[np.uint8]:
    """Return uint8 [SIDE, SIDE, 3]."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    return np.stack([rows, columns, rows + columns + offset], axis=-1).astype(np.uint8)
