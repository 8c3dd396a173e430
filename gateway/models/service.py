"""What the Bentos serve, asked from them and remembered for a few seconds."""

import asyncio
import time
from typing import Final

import msgspec

from bentos.contract import Modality, ModelInfo
from gateway.detections.client import BentoClient
from gateway.errors import InferenceUnavailableError
from gateway.settings import MEDIA_MODALITIES

_FRESH_S: Final = 5.0


class ModelCatalogue(msgspec.Struct, frozen=True, kw_only=True):
    """The models that can be asked for; `unavailable` names the modalities whose Bento does not answer right now."""

    models: tuple[ModelInfo, ...]
    unavailable: tuple[Modality, ...]


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
