"""From a version's card and the settings to what the decoding processes are asked for. Pure."""

from typing import Final

from bentos.cards import Card, CropInput, FeatureInput, TextInput, WaveformInput
from bentos.catalogue import Served
from bentos.errors import BrokenModelError
from bentos.media.options import AudioOptions, ImageOptions, TextOptions, VideoOptions
from bentos.media.prepared import CropShape
from bentos.settings import BentoSettings

FRAMES: Final = 16
"""Frames that are sampled of a video for an image model, which names no number; the same as the video model takes."""


def image_options(served: Served, settings: BentoSettings) -> ImageOptions:
    """Return how to crop a picture for this version. Raises `BrokenModelError` where it does not take crops."""
    return ImageOptions(shape=_crop_shape(served.card), max_pixels=settings.image_max_pixels)


def video_options(served: Served, settings: BentoSettings, *, thumbnail: bool, long: bool = False) -> VideoOptions:
    """Return how to sample and crop a video, for a head with its encoder or for an image model; `long`: that of a job.

    Raises:
        BrokenModelError: It is neither.
    """
    frames = FRAMES if served.encoder is None else frames_of(served.card)
    return VideoOptions(
        shape=_crop_shape(served.encoder or served.card),
        frames=frames,
        fewest_frames=1 if served.encoder is None else frames,
        max_seconds=settings.video_job_max_seconds if long else settings.video_max_seconds,
        thumbnail=thumbnail,
    )


def audio_options(served: Served, settings: BentoSettings, *, long: bool = False) -> AudioOptions:
    """Return how to cut a clip into windows; `long`: that of a job.

    Raises:
        BrokenModelError: The version does not take waveforms.
    """
    if not isinstance(served.card.input, WaveformInput):
        raise _wrong_input(served.card)
    return AudioOptions(
        samples=served.card.input.samples,
        hop=served.card.input.hop,
        max_seconds=settings.audio_job_max_seconds if long else settings.audio_max_seconds,
        most_windows=settings.audio_max_windows,
    )


def text_options(served: Served, settings: BentoSettings) -> TextOptions:
    """Return how to cut a text into passages. Raises `BrokenModelError` where the version does not take text."""
    if not isinstance(served.card.input, TextInput):
        raise _wrong_input(served.card)
    return TextOptions(characters=served.card.input.characters, most_passages=settings.text_max_passages)


def frames_of(card: Card) -> int:
    """Return how many time steps a video head takes. Raises `BrokenModelError` where the version is none."""
    if not isinstance(card.input, FeatureInput):
        raise _wrong_input(card)
    return card.input.frames


def _crop_shape(card: Card) -> CropShape:
    if not isinstance(card.input, CropInput):
        raise _wrong_input(card)
    return CropShape(
        height=card.input.height,
        width=card.input.width,
        resize_filter=card.input.resize_filter,
        margin=card.input.margin,
    )


def _wrong_input(card: Card) -> BrokenModelError:
    return BrokenModelError(f"{card.model} does not take what a {card.modality} detector gives.")
