"""What the command line of an import says about the model that is brought."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bentos.cards import Precision
from bentos.contract import Modality


def _nothing(text: str) -> None:
    del text


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What was asked for; None or empty where it is to be read from the source.

    `name` is what the model is called in the repository. `fake_labels` are the labels (or their numbers) that mean
    fake; for a single output value "1" says that a high value means fake, "0" that a low one does. `input_size` is the
    side of the square crop in pixels, or the length of a window of sound in seconds. `samples` is a folder of real
    media for the check against the original. `trust_pickle` allows checkpoints that only Python's pickle can read.
    `margin` is what is added round a face on every side, as a share of its longer side. `tell` is called with a line
    for a person whenever a step begins.

    Of Keras and ONNX files: `scale` names what was done to pixels before the model (see `scales`), `output` says what
    the last layer gives, `frames` is the length of a sequence, and `layer` the one whose values a video head takes.
    """

    name: str
    modality: Modality | None = None
    fake_labels: tuple[str, ...] = ()
    input_size: int | None = None
    trust_pickle: bool = False
    precision: Precision = "fp32"
    licence: str | None = None
    title: str | None = None
    description: str | None = None
    samples: Path | None = None
    margin: float = 0.3
    revision: str | None = None
    scale: str | None = None
    output: Literal["logits", "probabilities"] | None = None
    frames: int | None = None
    layer: str | None = None
    tell: Callable[[str], None] = _nothing
