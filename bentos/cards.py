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


class TextInput(Record, frozen=True, tag_field="kind", tag="text"):
    """Passages of UTF-8 text of at most `characters` characters, of which the model sees `tokens` tokens at once."""

    characters: int
    tokens: int


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


class Parity(Record, frozen=True):
    """How far the graph was from the model that it was made of: the largest |Δ p_fake| over `n` real inputs.

    `framework` names the original and its version, such as "torch 2.13.0".
    """

    framework: str
    n: int
    largest: float


Precision = Literal["fp32", "fp16", "int8"]


class Card(Record, frozen=True):
    """Everything a caller must know of one version. `digest` is "sha256:" and the hex digest of `model.onnx`.

    `label_order` is that of the model before its last node; the graph's own output is always p_fake. `demo` marks
    weights that show the platform and prove nothing about a medium. An encoder has neither metrics nor thresholds.
    `files` are the digests of what else lies in the version's folder and belongs to it, such as a tokeniser, by name.
    `derived_from` is the version of the same model that this one is another precision or calibration of.
    """

    model: str
    version: int
    modality: Modality
    source: str
    licence: str
    digest: str
    demo: bool
    input: CropInput | FeatureInput | WaveformInput | TextInput
    label_order: tuple[str, ...]
    intended_use: str
    limits: str
    created: str
    calibration: Calibration | None = None
    thresholds: Thresholds | None = None
    metrics: Metrics | None = None
    encoder: PinnedModel | None = None
    precision: Precision = "fp32"
    parity: Parity | None = None
    files: dict[str, str] = {}
    derived_from: int | None = None


class Canary(Record, frozen=True):
    """A version that gets a share of the traffic, in percent."""

    version: int
    percent: float


class Route(Record, frozen=True):
    """Which versions of a model answer: `stable`, perhaps a `canary`, perhaps a `shadow` that is asked but not heard.

    `previous` was stable before and stays loaded, so that a rollback is a change of pointer.
    """

    stable: int
    canary: Canary | None = None
    shadow: int | None = None
    previous: int | None = None

    @property
    def versions(self) -> frozenset[int]:
        """Every version that has to be loaded."""
        routed = (self.stable, self.shadow, self.previous, self.canary.version if self.canary else None)
        return frozenset(version for version in routed if version is not None)


class Member(Record, frozen=True):
    """A model of an ensemble; its own route says which of its versions answers. `weight` counts in weighted fusion."""

    model: str
    weight: float = 1.0


Fusion = Literal["mean", "weighted", "vote"]


class Ensemble(Record, frozen=True):
    """Several models that are asked the same question, and how their scores become one.

    `version` goes up with every change of the declaration. Fewer than `minimum` answers are no answer.
    """

    version: int
    modality: Modality
    title: str
    description: str
    fusion: Fusion
    members: tuple[Member, ...]
    thresholds: Thresholds
    minimum: int = 1


class TrafficTable(Record, frozen=True):
    """`serving.json`: the default model of each modality, the route of each model, and the ensembles by name."""

    defaults: dict[Modality, str]
    models: dict[str, Route]
    ensembles: dict[str, Ensemble] = {}


def read_card(data: bytes) -> Card:
    """Parse `card.json`. Raises `msgspec.ValidationError` or `msgspec.DecodeError` where it breaks the schema."""
    return msgspec.json.decode(data, type=Card)


def read_traffic(data: bytes) -> TrafficTable:
    """Parse `serving.json`. Raises `msgspec.ValidationError` or `msgspec.DecodeError` where it breaks the schema."""
    return msgspec.json.decode(data, type=TrafficTable)
