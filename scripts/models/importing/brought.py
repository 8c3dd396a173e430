"""What an import hands over for staging, and the parts of it that all families of models share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from bentos.cards import (
    Calibration,
    Card,
    CropInput,
    FeatureInput,
    Parity,
    TextInput,
    WaveformInput,
)
from bentos.contract import Modality, Thresholds
from scripts.models.errors import RefusedError
from scripts.models.importing.sources import Source
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository
from scripts.models.session import run_graph
from scripts.models.staging import ASSIGNED, Candidate, golden_inputs_of
from scripts.models.triton_config import Batching, Tensor, TritonModel

UNCALIBRATED: Final = Thresholds(low=0.4, high=0.6)
"""Bounds of a version until `bonafide models calibrate` has fitted its own."""
P_FAKE: Final = Tensor(name="p_fake", dtype="FP32", shape=(1,))
BATCHING: Final = Batching(maximum=32, preferred=(4, 8, 16), delay_us=500, queue=128, timeout_us=30_000_000)
LARGE_BATCHING: Final = Batching(maximum=8, preferred=(2, 4, 8), delay_us=500, queue=128, timeout_us=30_000_000)
"""Of a network that keeps a processor busy with a few rows: whoever shares a batch with more of them only waits."""
_LARGE_BYTES: Final = 64 * 1024 * 1024
_PARAMETERS: Final = {"intra_op_thread_count": "2", "allow_spinning": "0"}
_INTENDED_USE: Final = (
    "Not said by whoever imported it; read where it was published, and evaluate it on your own labelled media first."
)
_LIMITS: Final = (
    "As it was imported, not calibrated: the thresholds are {low} and {high} for any model. "
    "`bonafide models evaluate` and `calibrate` say more."
)


@dataclass(frozen=True, kw_only=True)
class Brought:
    """A version that is ready to be staged, and what a person should know of how it was read, in sentences."""

    candidate: Candidate
    notes: tuple[str, ...] = ()


def draft_card(
    wishes: Wishes,
    source: Source,
    *,
    modality: Modality,
    specification: CropInput | FeatureInput | WaveformInput | TextInput,
    labels: Sequence[str],
    parity: Parity | None,
    licence: str | None = None,
    model: str | None = None,
) -> Card:
    """Card of an imported version before it is staged, neither calibrated nor evaluated; without `labels` an encoder.

    `licence` is what the source says; `model` is for another name than the wished one.
    """
    return Card(
        model=model or wishes.name,
        version=ASSIGNED,
        modality=modality,
        source=f"{source.about} ({source.architecture})" if source.architecture else source.about,
        licence=wishes.licence or licence or "unknown",
        digest="",
        demo=False,
        input=specification,
        label_order=tuple(labels),
        intended_use=_INTENDED_USE,
        limits=_LIMITS.format(low=UNCALIBRATED.low, high=UNCALIBRATED.high) if labels else "As those of its head.",
        created=datetime.now(UTC).date().isoformat(),
        calibration=Calibration(method="none", temperature=1.0) if labels else None,
        thresholds=UNCALIBRATED if labels else None,
        parity=parity,
    )


def batching_of(weights: bytes) -> Batching:
    """How calls of a network are gathered, until `bonafide models optimise` has tried: by the size of its file."""
    return LARGE_BATCHING if len(weights) > _LARGE_BYTES else BATCHING


def draft_config(
    wishes: Wishes,
    source: Source,
    *,
    modality: Modality,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor] = (P_FAKE,),
    batching: Batching = BATCHING,
    model: str | None = None,
) -> TritonModel:
    """How Triton runs an imported model that is new to the repository."""
    name = model or wishes.name
    return TritonModel(
        name=name,
        title=wishes.title or name,
        description=wishes.description or f"Imported: {source.about}.",
        modality=modality,
        inputs=inputs,
        outputs=outputs,
        batching=batching,
        parameters=_PARAMETERS,
    )


def golden_of(
    repository: Repository, model: str, weights: bytes | InferenceSession, fresh: Mapping[str, NDArray]
) -> tuple[dict[str, NDArray], dict[str, NDArray[np.float32]]]:
    """Golden inputs of a model and what the graph answers to them. Raises `RefusedError` as `golden_inputs` does."""
    inputs = golden_inputs(repository, model, fresh)
    return inputs, run_graph(weights, inputs)


def golden_inputs(repository: Repository, model: str, fresh: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Golden inputs of a model: those that it has already, or else `fresh`.

    Asked for before a model is converted, it says early that it cannot be a version of the model.

    Raises:
        RefusedError: The model's golden inputs are of another shape or type, so this is another model.
    """
    inputs = dict(fresh)
    if file := golden_inputs_of(repository, model):
        with np.load(file) as kept:
            inputs = dict(kept)
    there, here = ({name: (each.shape[1:], each.dtype) for name, each in ends.items()} for ends in (inputs, fresh))
    if there != here:
        raise RefusedError(
            f"{model} takes {_shapes(inputs)}, this one {_shapes(fresh)}. All versions of a model have one signature; "
            "give this one a name of its own with --as."
        )
    return inputs


def _shapes(ends: Mapping[str, NDArray]) -> str:
    return ", ".join(f"{name} {each.dtype} {list(each.shape[1:])}" for name, each in ends.items())
