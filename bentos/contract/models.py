"""What a Bento says of the models that it serves: a list of them, and one with all of its versions."""

from bentos.contract.figures import VersionFigures
from bentos.contract.verdicts import Modality, Thresholds, Wire


class VersionInfo(Wire, frozen=True):
    """What the card of one served version says, for listings."""

    version: int
    digest: str
    thresholds: Thresholds
    metrics: dict[str, float | int | str]
    demo: bool


class ModelInfo(Wire, frozen=True):
    """A model that a Bento serves; `default` marks the one asked where the caller names none.

    An ensemble is listed as a model with its `members`: `stable.version` is that of its declaration, `stable.digest`
    that of an answer of all its members' stable versions.
    """

    name: str
    title: str
    description: str
    modality: Modality
    default: bool
    stable: VersionInfo
    members: tuple[str, ...] = ()


class ModelList(Wire, frozen=True):
    """Answer of `GET /models`."""

    models: tuple[ModelInfo, ...]


class CalibrationInfo(Wire, frozen=True):
    """How the score of a version was calibrated: `temperature`, or `none`."""

    method: str
    temperature: float


class ParityInfo(Wire, frozen=True):
    """The largest |Δ p_fake| over `n` inputs between a version and the model of `framework` that it was made of."""

    framework: str
    n: int
    largest: float


class EncoderInfo(Wire, frozen=True):
    """The encoder that a video model was trained on and is served with."""

    model: str
    version: int
    digest: str


class VersionDetails(Wire, frozen=True):
    """A version that the traffic table names: what it is asked for, and what its card says.

    `roles` are among `stable`, `canary`, `shadow` and `previous`. `precision` is fp32, fp16 or int8. `derived_from` is
    the version that it is another precision or calibration of.
    """

    version: int
    roles: tuple[str, ...]
    digest: str
    demo: bool
    precision: str
    thresholds: Thresholds | None
    metrics: dict[str, float | int | str]
    calibration: CalibrationInfo | None
    parity: ParityInfo | None
    encoder: EncoderInfo | None
    derived_from: int | None
    label_order: tuple[str, ...]
    source: str
    licence: str
    intended_use: str
    limits: str
    created: str


class BrokenVersion(Wire, frozen=True):
    """A version that the traffic table names and that cannot answer, and why."""

    version: int
    roles: tuple[str, ...]
    problem: str


class Share(Wire, frozen=True):
    """A version that answers a share of the callers, in percent."""

    version: int
    percent: float


class Traffic(Wire, frozen=True):
    """Which versions of a model answer: `stable`, and `canary` a share of the callers.

    `shadow` is asked beside them and not heard; `previous` was stable before and can be again at once.
    """

    stable: int
    canary: Share | None
    shadow: int | None
    previous: int | None


class MemberInfo(Wire, frozen=True):
    """A member of an ensemble with its stable version; null where that cannot be asked right now."""

    model: str
    weight: float
    version: int | None
    digest: str | None


class EnsembleInfo(Wire, frozen=True):
    """How the scores of several models become one: `fusion` is mean, weighted or vote.

    `version` goes up with every change of the declaration; fewer than `minimum` answers are no answer.
    """

    version: int
    fusion: str
    minimum: int
    thresholds: Thresholds
    members: tuple[MemberInfo, ...]


class ModelDetails(Wire, frozen=True):
    """Answer of `GET /models/{name}`: a model with its versions and traffic, or an ensemble with its members.

    `started`, Unix time in seconds, is since when the `figures` count.
    """

    name: str
    title: str
    description: str
    modality: Modality
    default: bool
    versions: tuple[VersionDetails, ...]
    broken: tuple[BrokenVersion, ...]
    traffic: Traffic | None
    ensemble: EnsembleInfo | None
    started: float
    figures: tuple[VersionFigures, ...]
