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
    """A model; `default` marks the one asked where a call names none."""

    name: str
    title: str
    description: str
    modality: Modality
    default: bool
    stable: ModelVersion


class ModelCatalogue(Schema, frozen=True):
    """The models; `unavailable` names the modalities of which no detector answers right now."""

    models: tuple[Model, ...]
    unavailable: tuple[Modality, ...]
