"""The card of a model version and the traffic table: what `model_repository/` says beside the weights.

`scripts.models` writes both, the Bentos read them. The weights and `config.pbtxt` are Triton's business.
"""

from typing import Final, Literal

import msgspec

from bentos.contract import Modality, Thresholds
from bentos.media.prepared import ResizeFilter

CARD_FILE: Final = "card.json"
TRAFFIC_FILE: Final = "serving.json"


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what is kept in the repository: immutable, and a misspelt field is an error."""


class CropInput(Record, frozen=True, tag_field="kind", tag="crop"):
    """Pixels of the crop, how the Bento resizes to it, and the margin round a face as a share of its longer side."""

    height: int
    width: int
    resize_filter: ResizeFilter
    margin: float


class FeatureInput(Record, frozen=True, tag_field="kind", tag="features"):
    """A sequence head: `frames` time steps of `features` values from the pinned encoder."""

    frames: int
    features: int


class WaveformInput(Record, frozen=True, tag_field="kind", tag="waveform"):
    """One window of 16 kHz mono sound, in samples, and how far the next window starts after it."""

    samples: int
    hop: int
    sample_rate: Literal[16000] = 16000


class Calibration(Record, frozen=True):
    """Temperature scaling (Guo et al., 2017, "On Calibration of Modern Neural Networks"), already inside the graph."""

    method: Literal["temperature", "none"]
    temperature: float


class Metrics(Record, frozen=True):
    """Figures on a held-out set of `n` samples: AUC, EER, Brier score, ECE (15 bins), accuracy at p_fake 0.5."""

    set: str
    n: int
    auc: float
    eer: float
    brier: float
    ece: float
    accuracy: float


class PinnedModel(Record, frozen=True):
    """Another version that this one was trained on and must be served with; digest as in its own card."""

    model: str
    version: int
    digest: str


class Card(Record, frozen=True):
    """Everything a caller must know of one version. `digest` is "sha256:" and the hex digest of `model.onnx`.

    `label_order` is that of the model before its last node; the graph's own output is always p_fake. `demo` marks
    weights that show the platform and prove nothing about a medium. An encoder has neither metrics nor thresholds.
    """

    model: str
    version: int
    modality: Modality
    source: str
    licence: str
    digest: str
    demo: bool
    input: CropInput | FeatureInput | WaveformInput
    label_order: tuple[str, ...]
    intended_use: str
    limits: str
    created: str
    calibration: Calibration | None = None
    thresholds: Thresholds | None = None
    metrics: Metrics | None = None
    encoder: PinnedModel | None = None


class Canary(Record, frozen=True):
    """A version that gets a share of the traffic, in percent."""

    version: int
    percent: float


class Route(Record, frozen=True):
    """Which versions of a model answer: `stable`, perhaps a `canary`, perhaps a `shadow` that is only logged."""

    stable: int
    canary: Canary | None = None
    shadow: int | None = None


class TrafficTable(Record, frozen=True):
    """`serving.json`: the default model of each modality and the route of each model."""

    defaults: dict[Modality, str]
    models: dict[str, Route]


def read_card(data: bytes) -> Card:
    """Parse `card.json`. Raises `msgspec.ValidationError` or `msgspec.DecodeError` where it breaks the schema."""
    return msgspec.json.decode(data, type=Card)


def read_traffic(data: bytes) -> TrafficTable:
    """Parse `serving.json`. Raises `msgspec.ValidationError` or `msgspec.DecodeError` where it breaks the schema."""
    return msgspec.json.decode(data, type=TrafficTable)
