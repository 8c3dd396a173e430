"""From a version's card and the settings to what the decoding processes are asked for. Pure."""

from bentos.cards import Card, CropInput, FeatureInput, WaveformInput
from bentos.catalogue import Served
from bentos.errors import BrokenModelError
from bentos.media.options import AudioOptions, ImageOptions, VideoOptions
from bentos.media.prepared import CropShape
from bentos.settings import BentoSettings


def image_options(served: Served, settings: BentoSettings) -> ImageOptions:
    """Return how to crop a picture for this version. Raises `BrokenModelError` where it does not take crops."""
    return ImageOptions(shape=_crop_shape(served.card), max_pixels=settings.image_max_pixels)


def video_options(served: Served, settings: BentoSettings) -> VideoOptions:
    """Return how to sample and crop a video. Raises `BrokenModelError` where it is no head with an encoder of crops."""
    return VideoOptions(
        shape=_crop_shape(encoder_of(served)), frames=frames_of(served.card), max_seconds=settings.video_max_seconds
    )


def audio_options(served: Served, settings: BentoSettings) -> AudioOptions:
    """Return how to cut a clip into windows. Raises `BrokenModelError` where the version does not take waveforms."""
    if not isinstance(served.card.input, WaveformInput):
        raise _wrong_input(served.card)
    return AudioOptions(
        samples=served.card.input.samples,
        hop=served.card.input.hop,
        max_seconds=settings.audio_max_seconds,
        most_windows=settings.audio_max_windows,
    )


def encoder_of(served: Served) -> Card:
    """Return the card of the encoder. Raises `BrokenModelError` where there is none."""
    if served.encoder is None:
        raise _wrong_input(served.card)
    return served.encoder


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
