"""Which model judges for the detection site, whose clients send the names of models that may not be installed here."""

from typing import Final

import msgspec

from bentos.contract import Modality
from gateway.detections.forms import ModelChoice
from gateway.models.service import ModelCatalogue

UPLOADS: Final = "dima806"
"""The model that judges images and videos where the client names none and it is installed."""
FRAMES: Final = "deep-fake-v2"
"""The same for the frames of a camera."""
SHOWN: Final = (Modality.IMAGE, Modality.VIDEO)
"""What the site's clients can have judged."""


class SiteModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the site's clients can name: `key` is what they send, `modalities` what it judges."""

    key: str
    name: str
    description: str
    modalities: tuple[Modality, ...]


def list_site_models(catalogue: ModelCatalogue) -> tuple[SiteModel, ...]:
    """Every installed model of images or videos, once."""
    models: dict[str, SiteModel] = {}
    for model in catalogue.models:
        if model.modality not in SHOWN:
            continue
        known = models.get(model.name)
        models[model.name] = SiteModel(
            key=model.name,
            name=model.title,
            description=known.description if known else model.description,
            modalities=(*(known.modalities if known else ()), model.modality),
        )
    return tuple(models.values())


def choose_installed(catalogue: ModelCatalogue, modality: Modality, usual: str) -> ModelChoice:
    """The model that a client names, or the `usual` one; the default of the modality for what is not installed."""
    installed = {model.name for model in catalogue.models if model.modality is modality}

    def read(name: str) -> str | None:
        return name if name in installed else None

    return ModelChoice(default=read(usual), read=read)


def title_of(catalogue: ModelCatalogue, name: str) -> str:
    """What a model is called; its name where nobody can tell right now."""
    return next((model.title for model in catalogue.models if model.name == name), name)
