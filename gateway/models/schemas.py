"""What `/v1/models` answers."""

import msgspec

from bentos.contract import (
    BrokenVersion,
    EnsembleInfo,
    Modality,
    ModelInfo,
    Traffic,
    VersionDetails,
    VersionFigures,
)


class ModelCatalogue(msgspec.Struct, frozen=True, kw_only=True):
    """The models that can be asked for; `unavailable` names the modalities whose Bento does not answer right now."""

    models: tuple[ModelInfo, ...]
    unavailable: tuple[Modality, ...]


class ModelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the Bento of a modality counted of a model's versions since `started`, Unix time in seconds."""

    modality: Modality
    started: float
    versions: tuple[VersionFigures, ...]


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A model with its versions and traffic, or an ensemble with its members.

    `modalities` are the kinds of media it judges, and `default_of` those for which it is asked where a call names no
    model. `versions` are those that the traffic names; those of them that cannot answer are in `broken`. `figures` are
    live. `unavailable` names the modalities whose Bento does not answer right now, so that it was not asked.
    """

    name: str
    title: str
    description: str
    modalities: tuple[Modality, ...]
    default_of: tuple[Modality, ...]
    versions: tuple[VersionDetails, ...]
    broken: tuple[BrokenVersion, ...]
    traffic: Traffic | None
    ensemble: EnsembleInfo | None
    figures: tuple[ModelFigures, ...]
    unavailable: tuple[Modality, ...]
