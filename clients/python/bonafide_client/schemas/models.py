"""The models that can be asked for."""

from bonafide_client.schemas import Schema
from bonafide_client.schemas.detections import Modality, Thresholds


class ModelVersion(Schema, frozen=True):
    """What the card of one served version says; `demo` marks weights that only show how things work."""

    version: int
    digest: str
    thresholds: Thresholds
    metrics: dict[str, float | int | str]
    demo: bool


class Model(Schema, frozen=True):
    """A model; `default` marks the one asked where a call names none. An ensemble has `members`, which are models."""

    name: str
    title: str
    description: str
    modality: Modality
    default: bool
    stable: ModelVersion
    members: tuple[str, ...] = ()


class ModelCatalogue(Schema, frozen=True):
    """The models; `unavailable` names the modalities of which no detector answers right now."""

    models: tuple[Model, ...]
    unavailable: tuple[Modality, ...]


class Calibration(Schema, frozen=True):
    """How the score of a version was calibrated: `temperature`, or `none`."""

    method: str
    temperature: float


class Parity(Schema, frozen=True):
    """The largest |Δ p_fake| over `n` inputs between a version and the model of `framework` that it was made of."""

    framework: str
    n: int
    largest: float


class Encoder(Schema, frozen=True):
    """The encoder that a video model was trained on and is served with."""

    model: str
    version: int
    digest: str


class VersionDetails(Schema, frozen=True):
    """A version with its card; `roles` are among `stable`, `canary`, `shadow` and `previous`."""

    version: int
    roles: tuple[str, ...]
    digest: str
    demo: bool
    precision: str
    thresholds: Thresholds | None
    metrics: dict[str, float | int | str]
    calibration: Calibration | None
    parity: Parity | None
    encoder: Encoder | None
    derived_from: int | None
    label_order: tuple[str, ...]
    source: str
    licence: str
    intended_use: str
    limits: str
    created: str


class BrokenVersion(Schema, frozen=True):
    """A version that the traffic names and that cannot answer, and why."""

    version: int
    roles: tuple[str, ...]
    problem: str


class Share(Schema, frozen=True):
    """A version that answers a share of the callers, in percent."""

    version: int
    percent: float


class Traffic(Schema, frozen=True):
    """Which versions answer: `stable`, and `canary` a share of the callers; `shadow` is asked and not heard."""

    stable: int
    canary: Share | None
    shadow: int | None
    previous: int | None


class Member(Schema, frozen=True):
    """A member of an ensemble with its stable version; null where that cannot be asked right now."""

    model: str
    weight: float
    version: int | None
    digest: str | None


class Ensemble(Schema, frozen=True):
    """How the scores of several models become one: `fusion` is mean, weighted or vote."""

    version: int
    fusion: str
    minimum: int
    thresholds: Thresholds
    members: tuple[Member, ...]


class ShadowFigures(Schema, frozen=True):
    """How a shadow's answers compare with those that callers got; `difference` is the sum of |Δ p_fake|."""

    compared: int
    disagreed: int
    difference: float
    dropped: int
    failed: int


class VersionFigures(Schema, frozen=True):
    """Counts of a version; `part` is stable, canary, shadow, or member of an ensemble.

    `latency` are calls by bucket of seconds, `scores` calls by twentieth of p_fake.
    """

    model: str
    version: int
    part: str
    answered: int
    errors: int
    in_flight: int
    latency: tuple[int, ...]
    latency_sum_s: float
    scores: tuple[int, ...]
    shadow: ShadowFigures | None = None


class ModelFigures(Schema, frozen=True):
    """What was counted for one kind of media since `started`, Unix time in seconds."""

    modality: Modality
    started: float
    versions: tuple[VersionFigures, ...]


class ModelDetails(Schema, frozen=True):
    """A model with its versions and traffic, or an ensemble with its members.

    `default_of` are the kinds of media for which it is asked where a call names none, `unavailable` those whose
    detector does not answer right now.
    """

    name: str
    title: str
    description: str
    modalities: tuple[Modality, ...]
    default_of: tuple[Modality, ...]
    versions: tuple[VersionDetails, ...]
    broken: tuple[BrokenVersion, ...]
    traffic: Traffic | None
    ensemble: Ensemble | None
    figures: tuple[ModelFigures, ...]
    unavailable: tuple[Modality, ...]
