"""What the Bentos serve, asked from them and remembered for a few seconds."""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Final

from bentos.contract import Modality, ModelDetails, ModelInfo
from gateway.detections.client import RETRY_AFTER_S, BentoClient
from gateway.errors import InferenceUnavailableError, NotFoundError
from gateway.models.schemas import ModelCatalogue, ModelFigures, ModelView
from gateway.settings import MEDIA_MODALITIES

__all__ = ["ModelCatalogue", "Models"]

_FRESH_S: Final = 5.0
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class Models:
    """The catalogue; several callers at once share one round of questions."""

    def __init__(self, bentos: BentoClient) -> None:
        self._bentos = bentos
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._catalogue = ModelCatalogue(models=(), unavailable=MEDIA_MODALITIES)

    async def catalogue(self) -> ModelCatalogue:
        """The models, no older than a few seconds."""
        async with self._asking:
            if time.monotonic() - self._asked_at > _FRESH_S:
                answers = await asyncio.gather(*(self._ask(modality) for modality in MEDIA_MODALITIES))
                self._catalogue = ModelCatalogue(
                    models=tuple(model for answer in answers if answer is not None for model in answer),
                    unavailable=tuple(
                        modality for modality, answer in zip(MEDIA_MODALITIES, answers, strict=True) if answer is None
                    ),
                )
                self._asked_at = time.monotonic()
            return self._catalogue

    async def model(self, name: str) -> ModelView:
        """One model with everything that the Bentos tell of it at this moment.

        Raises:
            NotFoundError: No model or ensemble of that name is served.
            InferenceUnavailableError: None of those that answer knows it, and one does not answer.
        """
        # A name goes into an address, and no model has one that leads elsewhere there.
        asked = MEDIA_MODALITIES if _NAME.fullmatch(name) else ()
        answers = await asyncio.gather(
            *(self._bentos.model(modality, name) for modality in asked), return_exceptions=True
        )
        known: list[ModelDetails] = []
        unavailable: list[Modality] = []
        for modality, answer in zip(asked, answers, strict=True):
            if isinstance(answer, InferenceUnavailableError):
                unavailable.append(modality)
            elif isinstance(answer, BaseException):
                raise answer
            elif answer is not None:
                known.append(answer)
        if not known and unavailable:
            raise InferenceUnavailableError(retry_after_s=RETRY_AFTER_S)
        if not known:
            raise NotFoundError("There is no model of that name.", code="unknown_model")
        return _view(known, tuple(unavailable))

    def default_of(self, modality: Modality) -> str | None:
        """Name of the model that is asked where the caller names none, as far as it was heard; never waits."""
        for model in self._catalogue.models:
            if model.modality == modality and model.default:
                return model.name
        return None

    async def _ask(self, modality: Modality) -> tuple[ModelInfo, ...] | None:
        try:
            return await self._bentos.models(modality)
        except InferenceUnavailableError:
            return None


def _view(known: Sequence[ModelDetails], unavailable: tuple[Modality, ...]) -> ModelView:
    """What the Bentos tell, as one: all read the same repository, and each counts what it was asked itself."""
    first = known[0]
    return ModelView(
        name=first.name,
        title=first.title,
        description=first.description,
        modalities=tuple(details.modality for details in known),
        default_of=tuple(details.modality for details in known if details.default),
        versions=first.versions,
        broken=first.broken,
        traffic=first.traffic,
        ensemble=first.ensemble,
        figures=tuple(
            ModelFigures(modality=details.modality, started=details.started, versions=details.figures)
            for details in known
        ),
        unavailable=unavailable,
    )
