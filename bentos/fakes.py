"""An inference client that answers from memory, for tests: the same interface, splitting and checks as the real one."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bentos.deadline import Deadline
from bentos.errors import DetectionError, InferenceUnavailableError
from bentos.inference import InferenceClient, Signature, Tensors, TensorSpec

Answer = Callable[[Tensors], Tensors]


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeModel:
    """A version that the fake has loaded: its signature, and the function from a batch of inputs to its outputs."""

    signature: Signature
    answer: Answer


@dataclass(slots=True, kw_only=True)
class FakeInference(InferenceClient):
    """Models in memory; set `failure` to make every call raise it. `batches` lists the sizes that were asked for."""

    models: dict[tuple[str, int], FakeModel]
    failure: DetectionError | None = None
    batches: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])

    async def signature(self, model: str, version: int, deadline: Deadline) -> Signature:
        """Return the signature of a model in memory."""
        deadline.remaining_s()
        return self._model(model, version).signature

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    async def _send(self, model: str, version: int, batch: Tensors, deadline: Deadline) -> Tensors:
        deadline.remaining_s()
        self.batches.append((model, version, len(next(iter(batch.values())))))
        return self._model(model, version).answer(batch)

    def _model(self, model: str, version: int) -> FakeModel:
        if self.failure is not None:
            raise self.failure
        if (model, version) not in self.models:
            raise InferenceUnavailableError
        return self.models[model, version]


def fake_signature(
    inputs: dict[str, tuple[type[np.generic], tuple[int, ...]]],
    outputs: dict[str, tuple[int, ...]],
    *,
    max_batch_size: int = 8,
    title: str = "A fake",
) -> Signature:
    """Describe a model: inputs by type and shape without the batch axis, float32 outputs by shape."""
    return Signature(
        max_batch_size=max_batch_size,
        inputs={
            name: TensorSpec(name=name, dtype=np.dtype(kind), shape=shape) for name, (kind, shape) in inputs.items()
        },
        outputs={
            name: TensorSpec(name=name, dtype=np.dtype(np.float32), shape=shape) for name, shape in outputs.items()
        },
        title=title,
        description="Answers from memory.",
    )
