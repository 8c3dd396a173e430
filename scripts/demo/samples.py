"""Whole sample media, genuine and forged, to try the platform with: pictures and clips with one face, voices, texts.

The face is that of scikit-image's astronaut, which the demo weights are never trained on. Everything follows from the
seed. `python -m scripts.demo.samples` writes the small files in `scripts/demo/media`.
"""

import io
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.demo.forgeries import (
    Alteration,
    Pixels,
    Region,
    draw_mask,
    draw_visible_alteration,
    flicker,
    forge,
    to_bytes,
)
from scripts.demo.photographs import load_photograph
from scripts.demo.shapes import SAMPLE_RATE
from scripts.demo.speech import Sound, draw_voice, speak
from scripts.demo.texts import sample_text
from scripts.demo.vocoders import copy_synthesis

MEDIA: Final = Path(__file__).parent / "media"
_FACE: Final = (133, 24, 185)
"""Left, top and side in pixels of the square round the astronaut's face, with the margin that is left at serving."""
_FACE_REGION: Final = Region(
    corners=tuple((0.5 + 0.24 * float(np.cos(a)), 0.5 + 0.32 * float(np.sin(a))) for a in np.linspace(0, 6.02, 24)),
    softness=0.012,
    opacity=1.0,
)
_BACKGROUNDS: Final = ("coffee.png", "rocket.jpg", "chelsea.png", "brick.png", "grass.png", "gravel.png")
_TRACE: Final = 9.0
"""Mean change of a forged pixel, of 255: samples are meant to be recognised."""


def genuine_image(seed: int, size: tuple[int, int] = (1280, 720), quality: int = 92) -> bytes:
    """JPEG of `size` (width, height) with one face on it, beside another photograph."""
    scene, _ = _lay_out(np.random.default_rng((seed, 1)), size)
    return _jpeg(scene, quality)


def forged_image(seed: int, size: tuple[int, int] = (1280, 720), quality: int = 92) -> bytes:
    """The same picture as `genuine_image(seed)` with an altered copy of the face blended over it."""
    scene, face = _lay_out(np.random.default_rng((seed, 1)), size)
    rng = np.random.default_rng((seed, 2))
    _forge_face(scene, face, _draw_swap(rng, scene, face))
    return _jpeg(scene, quality)


def genuine_video(seed: int, seconds: float = 4.0, fps: int = 25, size: tuple[int, int] = (640, 360)) -> bytes:
    """MP4 (H.264) of a camera that moves over a picture with one face."""
    return _encode(_film(seed, round(seconds * fps), size, forged=False), fps, size)


def forged_video(seed: int, seconds: float = 4.0, fps: int = 25, size: tuple[int, int] = (640, 360)) -> bytes:
    """The same clip as `genuine_video(seed)`, the face swapped frame by frame for an altered copy that flickers."""
    return _encode(_film(seed, round(seconds * fps), size, forged=True), fps, size)


def genuine_audio(seed: int, seconds: float = 6.0) -> bytes:
    """WAV, 16 kHz mono, of a synthesised voice."""
    return _wav(_voice(seed, seconds))


def forged_audio(seed: int, seconds: float = 6.0) -> bytes:
    """The same voice as in `genuine_audio(seed)`, put together again by a vocoder."""
    return _wav(copy_synthesis(np.random.default_rng((seed, 4)), _voice(seed, seconds)))


def genuine_text(seed: int) -> bytes:
    """UTF-8 of a piece of the documentation that comes with Python, which people wrote."""
    return sample_text(seed, forged=False).encode()


def forged_text(seed: int) -> bytes:
    """UTF-8 of babble that was sampled from the words of such documentation."""
    return sample_text(seed, forged=True).encode()


def write_media(folder: Path = MEDIA) -> None:
    """Write one genuine and one forged file of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, image, video, audio, text in (
        ("genuine", genuine_image(1), genuine_video(1), genuine_audio(1), genuine_text(1)),
        ("forged", forged_image(1), forged_video(1), forged_audio(1), forged_text(1)),
    ):
        for suffix, data in (("jpg", image), ("mp4", video), ("wav", audio), ("txt", text)):
            (folder / f"{kind}.{suffix}").write_bytes(data)
            print(f"{folder / kind}.{suffix}: {len(data) / 1e3:.0f} kB")


def _lay_out(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Pixels, tuple[int, int, int]]:
    """A picture float32 [height, width, 3] and where the square round the face lies on it."""
    width, height = size
    portrait = load_photograph("astronaut.png").astype(np.float32)
    side = int(min(width, height) * rng.uniform(0.85, 1.0))
    background = load_photograph(_BACKGROUNDS[int(rng.integers(len(_BACKGROUNDS)))]).astype(np.float32)
    scale = max(width / background.shape[1], height / background.shape[0])
    # Enlarged only where the picture is larger than the photograph.
    filter_ = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    whole = cv2.resize(background, None, fx=scale + 1e-3, fy=scale + 1e-3, interpolation=filter_)[:height, :width]
    scene = np.clip(whole, 0, 255)
    filter_ = cv2.INTER_AREA if side < portrait.shape[0] else cv2.INTER_CUBIC
    left, top = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
    scene[top : top + side, left : left + side] = np.clip(
        cv2.resize(portrait, (side, side), interpolation=filter_), 0, 255
    )
    scale = side / portrait.shape[0]
    face = (left + round(_FACE[0] * scale), top + round(_FACE[1] * scale), round(_FACE[2] * scale))
    if rng.random() < 0.5:
        scene, face = np.ascontiguousarray(scene[:, ::-1]), (width - face[0] - face[2], face[1], face[2])
    light = rng.uniform(0.85, 1.1) * rng.uniform(0.96, 1.04, 3)
    noise = np.float32(rng.uniform(0.5, 2.5)) * rng.standard_normal(scene.shape, np.float32)
    return np.clip(scene * light.astype(np.float32) + noise, 0, 255).astype(np.float32, copy=False), face


def _draw_swap(rng: np.random.Generator, scene: Pixels, face: tuple[int, int, int]) -> Alteration:
    left, top, side = face
    patch = scene[top : top + side, left : left + side]
    return draw_visible_alteration(rng, patch, draw_mask(_FACE_REGION, side), strength=1.1, trace=_TRACE)


def _forge_face(scene: Pixels, face: tuple[int, int, int], alteration: Alteration) -> None:
    """Blend the altered face into the scene, in place."""
    left, top, side = face
    patch = scene[top : top + side, left : left + side]
    patch[:] = np.clip(forge(patch, alteration, draw_mask(_FACE_REGION, side)), 0, 255)


def _film(seed: int, frames: int, size: tuple[int, int], *, forged: bool) -> Iterator[NDArray[np.uint8]]:
    """Frames uint8 [height, width, 3]: a window that drifts over a picture a tenth larger than itself."""
    width, height = size
    rng, swaps = np.random.default_rng((seed, 1)), np.random.default_rng((seed, 3))
    scene, face = _lay_out(rng, (round(width * 1.1), round(height * 1.1)))
    swap = _draw_swap(swaps, scene, face)
    phases = rng.uniform(0, 2 * np.pi, 2)
    room = np.asarray([scene.shape[1] - width, scene.shape[0] - height])
    for index in range(frames):
        shown = scene
        if forged:
            shown = scene.copy()
            _forge_face(shown, face, flicker(swaps, swap, side=face[2]))
        # One swing in eight seconds or so, whatever the clip's length.
        left, top = np.rint(room * (0.5 + 0.5 * np.sin(phases + index / 32))).astype(int)
        noise = rng.standard_normal((height, width, 1), np.float32)
        yield to_bytes(np.clip(shown[top : top + height, left : left + width] + noise, 0, 255))


def _encode(frames: Iterator[NDArray[np.uint8]], fps: int, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = size[0], size[1], "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def _voice(seed: int, seconds: float) -> Sound:
    rng = np.random.default_rng((seed, 5))
    return speak(rng, draw_voice(rng), round(seconds * SAMPLE_RATE))


def _wav(sound: Sound) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.rint(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def _jpeg(scene: Pixels, quality: int) -> bytes:
    return cv2.imencode(".jpg", to_bytes(scene)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


if __name__ == "__main__":
    write_media()
