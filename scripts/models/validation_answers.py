"""The checks of a version that ask it, on a second Triton: signature, golden answers, batches, latency, memory."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bentos.cards import Card
from bentos.catalogue import check_signature
from bentos.deadline import Deadline
from bentos.errors import BrokenModelError
from bentos.inference import Signature, read_probabilities
from bentos.triton import TritonClient
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.publish import as_sent, read_golden
from scripts.models.repository import Repository
from scripts.models.stand import Stand
from scripts.models.tolerance import TOLERANCE
from scripts.models.validation_files import is_encoder
from scripts.models.validation_report import Book, Latency
from scripts.stack.control import ModelError, TritonUnreachableError

_CALL_DEADLINE_S: Final = 120.0
_UNLOAD_DEADLINE_S: Final = 30.0
_SETTLE_S: Final = 0.1
_SETTLING: Final = 50
_MOST_CALLS: Final = 30
_MEASURE_S: Final = 3.0
_MEBIBYTE: Final = 1024 * 1024


async def look_at_answers(here: Stand, repository: Repository, card: Card, book: Book) -> dict[str, Any]:
    """Check what the second Triton says and answers, then measure it. Raises `FailedError`."""
    client = TritonClient(here.triton.address)
    try:
        found: dict[str, Any] = {}
        await book.look_async("signature", _check_signature(client, card, found))
        signature: Signature = found["signature"]
        inputs, wanted = read_golden(repository.root, card.model, card.version)
        inputs = as_sent(inputs)
        await book.look_async("golden answers", _check_answers(client, card, inputs, wanted))
        await book.look_async("batches", _check_batches(client, card, signature, inputs))
        latency = [await _measure(client, card, inputs, batch) for batch in sorted({1, signature.max_batch_size})]
    finally:
        await client.close()
    return {"latency": tuple(latency), "memory_mb": await _memory(here, card)}


async def _check_signature(client: TritonClient, card: Card, found: dict[str, Any]) -> str:
    signature = await client.signature(card.model, card.version, _deadline())
    check_signature(card, signature)
    wanted = "features" if is_encoder(card) else "p_fake"
    spec = signature.outputs.get(wanted)
    if spec is None or len(spec.shape) != 1 or (wanted == "p_fake" and spec.shape != (1,)):
        raise RefusedError(f"It does not answer {wanted} as the contract says: {dict(signature.outputs)}.")
    if card.encoder is not None:
        encoder = await client.signature(card.encoder.model, card.encoder.version, _deadline())
        taken = signature.inputs["features"].shape[-1]
        if encoder.outputs["features"].shape != (taken,):
            raise RefusedError(f"{card.encoder.model} does not give the {taken} features that it takes.")
    found["signature"] = signature
    ends = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in (*signature.inputs.values(), spec))
    return f"As the card says: {ends}."


async def _check_answers(
    client: TritonClient, card: Card, inputs: Mapping[str, NDArray], wanted: Mapping[str, NDArray]
) -> str:
    answers = await client.infer(card.model, card.version, inputs, _deadline())
    if not is_encoder(card):
        read_probabilities(card.model, answers, "p_fake")
    worst = _difference(answers, wanted)
    return _within(worst, card, "from its golden answers")


async def _check_batches(client: TritonClient, card: Card, signature: Signature, inputs: Mapping[str, NDArray]) -> str:
    """Ask each row alone, and all of them within one full batch."""
    rows = len(next(iter(inputs.values())))
    full = {name: _tiled(values, signature.max_batch_size) for name, values in inputs.items()}
    together = await client.infer(card.model, card.version, full, _deadline())
    worst = 0.0
    for row in range(min(rows, signature.max_batch_size)):
        one = {name: values[row : row + 1] for name, values in inputs.items()}
        alone = await client.infer(card.model, card.version, one, _deadline())
        worst = max(worst, _difference(alone, {name: values[row : row + 1] for name, values in together.items()}))
    return _within(worst, card, f"between a row alone and in a batch of {signature.max_batch_size}")


def _within(worst: float, card: Card, where: str) -> str:
    allowed = TOLERANCE[card.precision]
    if not worst <= allowed:
        raise BrokenModelError(f"It is off by {worst:.1e} {where}; {card.precision} may be off by {allowed:.0e}.")
    return f"Off by {worst:.1e} {where}, of {allowed:.0e} allowed for {card.precision}."


def _difference(answers: Mapping[str, NDArray], wanted: Mapping[str, NDArray]) -> float:
    """Largest |Δ|; axes that differ in length are filled up with -1, as those of tokens are.

    Raises:
        RefusedError: An answer is missing, or of another number of axes.
    """
    worst = 0.0
    for name, values in wanted.items():
        answer = answers.get(name)
        if answer is None or answer.ndim != values.ndim or len(answer) != len(values):
            raise RefusedError(f"It does not answer {name} of the shape {list(values.shape)}.")
        shape = tuple(np.maximum(answer.shape, values.shape))
        one, other = (np.full(shape, -1.0) for _ in range(2))
        one[tuple(slice(size) for size in answer.shape)] = answer
        other[tuple(slice(size) for size in values.shape)] = values
        worst = max(worst, float(np.abs(one - other).max()))
    return worst


def _tiled(values: NDArray, rows: int) -> NDArray:
    return values[np.arange(rows) % len(values)]


async def _measure(client: TritonClient, card: Card, inputs: Mapping[str, NDArray], batch: int) -> Latency:
    rows = {name: _tiled(values, batch) for name, values in inputs.items()}
    took: list[float] = []
    until = time.monotonic() + _MEASURE_S
    while len(took) < _MOST_CALLS and (len(took) < 2 or time.monotonic() < until):  # noqa: PLR2004  (a median of one is none)
        began = time.perf_counter()
        await client.infer(card.model, card.version, rows, _deadline())
        took.append((time.perf_counter() - began) * 1000)
    median, p95 = np.percentile(took, [50, 95])
    return Latency(batch=batch, calls=len(took), median_ms=round(float(median), 2), p95_ms=round(float(p95), 2))


async def _memory(here: Stand, card: Card) -> float:
    """What Triton has less without the model, in MiB."""
    loaded, processes = here.memory(), len(here.processes())
    async with here.triton.control() as control:
        try:
            await control.unload(card.model, deadline_s=_UNLOAD_DEADLINE_S)
        except (ModelError, TritonUnreachableError) as error:
            raise ModelsError(f"The second Triton did not unload the model: {error}") from error
    # Triton says that it is done while the model's process is still on its way out.
    for _ in range(_SETTLING):
        if len(here.processes()) < processes:
            break
        await asyncio.sleep(_SETTLE_S)
    return round(max(0, loaded - here.memory()) / _MEBIBYTE, 1)


def _deadline() -> Deadline:
    return Deadline.after(_CALL_DEADLINE_S)
