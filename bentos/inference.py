"""What the detectors ask of an inference server: batched tensors in, checked tensors out, explicit versions only.

`bentos.triton` speaks to the real server, `bentos.fakes` answers from memory; both split and check here.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bentos.deadline import Deadline
from bentos.errors import BrokenModelError

Tensor = NDArray[Any]
Tensors = Mapping[str, Tensor]

BATCHES_IN_FLIGHT: Final = 4
"""Batches of one call that wait in the server at once, so that a long clip does not fill the queue for the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Type and shape of one input or output, without the batch axis; -1 is an axis of any length."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def fits(self, tensor: Tensor, rows: int) -> bool:
        """Whether `tensor` is `rows` of what this describes."""
        return (
            tensor.dtype == self.dtype
            and tensor.ndim == len(self.shape) + 1
            and tensor.shape[0] == rows
            and all(want in (-1, got) for want, got in zip(self.shape, tensor.shape[1:], strict=True))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What the server says of one loaded version: its tensors, its largest batch, and its name for people."""

    max_batch_size: int
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    title: str
    description: str


class InferenceClient(ABC):
    """Asks for an explicit version, splits what is larger than a batch, and checks every answer."""

    @abstractmethod
    async def signature(self, model: str, version: int, deadline: Deadline) -> Signature:
        """Return what the server says of a version.

        Raises:
            InferenceUnavailableError: The server is away or has not loaded that version.
            BrokenModelError: Its configuration is not one that the contract allows.
            DeadlineExceededError: No answer came in time.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of the connection."""

    @abstractmethod
    async def _send(self, model: str, version: int, batch: Tensors, deadline: Deadline) -> Tensors:
        """Run one batch that is no larger than the server takes."""

    async def infer(self, model: str, version: int, inputs: Tensors, deadline: Deadline) -> Tensors:
        """Run all rows of `inputs` ([N, ...] each, the same N ≥ 1) and return all outputs, [N, ...] each, in order.

        Raises:
            InferenceUnavailableError: The server is away, has not loaded that version, or its queue is full.
            BrokenModelError: The inputs or the answer do not fit the signature, or the answer is not finite.
            DeadlineExceededError: No answer came in time.
        """
        signature = await self.signature(model, version, deadline)
        rows = _check_inputs(model, inputs, signature)
        if rows <= signature.max_batch_size:
            return await self._infer_batch(model, version, inputs, signature, deadline)
        slots = asyncio.Semaphore(BATCHES_IN_FLIGHT)

        async def infer_slice(start: int) -> Tensors:
            batch = {name: tensor[start : start + signature.max_batch_size] for name, tensor in inputs.items()}
            async with slots:
                return await self._infer_batch(model, version, batch, signature, deadline)

        parts = await _gather_or_cancel([infer_slice(start) for start in range(0, rows, signature.max_batch_size)])
        return {name: _join([part[name] for part in parts]) for name in signature.outputs}

    async def _infer_batch(
        self, model: str, version: int, batch: Tensors, signature: Signature, deadline: Deadline
    ) -> Tensors:
        outputs = await self._send(model, version, batch, deadline)
        check_outputs(model, outputs, signature, rows=len(next(iter(batch.values()))))
        return outputs


def _join(parts: Sequence[Tensor]) -> Tensor:
    """Lay the answers of batches behind each other; where an axis differs in length, the shorter ones end in -1."""
    shape = np.max([part.shape[1:] for part in parts], axis=0)
    joined = np.full((sum(len(part) for part in parts), *shape), -1, parts[0].dtype)
    start = 0
    for part in parts:
        joined[(slice(start, start + len(part)), *(slice(size) for size in part.shape[1:]))] = part
        start += len(part)
    return joined


async def _gather_or_cancel(calls: Sequence[Any]) -> list[Tensors]:
    """Run all calls; when one fails, cancel the others and raise its error as it is, not as a group."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _check_inputs(model: str, inputs: Tensors, signature: Signature) -> int:
    """Return the number of rows, the same in all inputs. Raises `BrokenModelError` where an input does not fit."""
    if set(inputs) != set(signature.inputs):
        raise BrokenModelError(f"The model {model} wants the inputs {sorted(signature.inputs)}, not {sorted(inputs)}.")
    rows = len(next(iter(inputs.values())))
    for name, tensor in inputs.items():
        spec = signature.inputs[name]
        if rows == 0 or not spec.fits(tensor, rows):
            raise BrokenModelError(
                f"The model {model} wants {name} as {spec.dtype} {list(spec.shape)}, not {tensor.dtype} {tensor.shape}."
            )
    return rows


def check_outputs(model: str, outputs: Tensors, signature: Signature, *, rows: int) -> None:
    """Check that all declared outputs are there, of the declared type and shape, and finite.

    Raises:
        BrokenModelError: They are not.
    """
    for name, spec in signature.outputs.items():
        tensor = outputs.get(name)
        if tensor is None or not spec.fits(tensor, rows):
            raise BrokenModelError(f"The model {model} did not answer {name} as its signature says.")
        if spec.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise BrokenModelError(f"The model {model} answered {name} with values that are not numbers.")


def read_probabilities(model: str, outputs: Tensors, name: str) -> NDArray[np.float32]:
    """Return the output `name`, which must lie in [0, 1].

    Raises:
        BrokenModelError: It is missing or leaves that range.
    """
    scores = outputs.get(name)
    if scores is None or scores.min() < 0 or scores.max() > 1:
        raise BrokenModelError(f"The model {model} did not answer {name} as probabilities in [0, 1].")
    return scores
