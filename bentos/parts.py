"""The resources of a Bento's process: its settings, the model repository, Triton, and the decoding processes."""

from dataclasses import dataclass

from bentos.contract import Modality
from bentos.inference import InferenceClient
from bentos.media.pool import MediaPool, PoolLimits
from bentos.repository import ModelRepository
from bentos.settings import MEBIBYTE, BentoSettings
from bentos.triton import TritonClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a detector works with; tests put others in their place."""

    settings: BentoSettings
    repository: ModelRepository
    inference: InferenceClient
    media: MediaPool

    async def close(self) -> None:
        """Let go of everything, the processes last."""
        await self.repository.close()
        await self.inference.close()
        await self.media.close()


async def open_parts(settings: BentoSettings, modality: Modality) -> Parts:
    """Open what the settings name. Triton and the repository may still be away; calls say so until they are there."""
    repository = ModelRepository.at(settings.model_repository)
    await repository.start()
    return Parts(
        settings=settings,
        repository=repository,
        inference=TritonClient(settings.triton_address),
        media=MediaPool(
            PoolLimits(
                processes=settings.media_processes,
                waiting=settings.bento_max_calls,
                # Half of the longest deadline, so that it is the medium and not we who is blamed for a costly one.
                task_s=settings.deadline_s(modality) / 2,
                memory=settings.media_memory_mb * MEBIBYTE,
            ),
            preload=(f"bentos.media.{modality}",),
        ),
    )
