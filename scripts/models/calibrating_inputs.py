"""Media to the tensors that a graph takes, as a Bento would send them: for ranges of eight-bit numbers, and trials."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bentos.cards import Card, CropInput, TextInput, WaveformInput
from bentos.errors import DetectionError
from bentos.media.audio import prepare_audio
from bentos.media.image import prepare_image
from bentos.media.options import AudioOptions, ImageOptions, TextOptions
from bentos.media.prepared import CropShape
from bentos.media.text import prepare_text
from scripts.models.errors import RefusedError

MOST: Final = 128
"""Rows that are kept: more change the ranges no longer, and a large network takes a second for each."""

_WINDOWS_OF_A_CLIP: Final = 4
_LONGEST_S: Final = 1800.0

Prepare = Callable[[Path], NDArray[Any]]


def inputs_of(card: Card, media: Sequence[Path]) -> dict[str, NDArray[Any]]:
    """Return the rows that the media give, [n, …] by the name of the graph's input; unreadable ones give none.

    Raises:
        RefusedError: None of them can be read, or the model takes neither crops nor sound nor text.
    """
    name, prepare = _preparing(card)
    rows: list[NDArray[Any]] = []
    trouble: list[str] = []
    for path in media:
        try:
            rows.extend(prepare(path))
        except (DetectionError, OSError) as error:
            trouble.append(f"{path.name}: {error}")
        if len(rows) >= MOST:
            break
    if not rows:
        detail = f" ({trouble[0]})" if trouble else ""
        raise RefusedError(f"None of {len(media)} media can be read{detail}.")
    return {name: np.stack(rows[:MOST])}


def _preparing(card: Card) -> tuple[str, Prepare]:
    match card.input:
        case CropInput() as crop:
            shape = CropShape(
                height=crop.height, width=crop.width, resize_filter=crop.resize_filter, margin=crop.margin
            )
            options = ImageOptions(shape=shape)
            return "crop", lambda path: prepare_image(path, options).crops
        case WaveformInput(samples=samples, hop=hop):
            sound = AudioOptions(samples=samples, hop=hop, most_windows=_WINDOWS_OF_A_CLIP, max_seconds=_LONGEST_S)
            return "waveform", lambda path: prepare_audio(path, sound).windows
        case TextInput(characters=characters):
            text = TextOptions(characters=characters)
            return "text", lambda path: _passages(path, text)
        case _:
            raise RefusedError(f"{card.model} takes neither pictures nor sound nor text.")


def _passages(path: Path, options: TextOptions) -> NDArray[Any]:
    return np.array([[passage.encode()] for passage in prepare_text(path, options).passages], np.object_)
