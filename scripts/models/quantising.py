"""Makes a version of another precision, and stages it only if it gives the verdicts of the version it was made of.

Both are judged over the same labelled media by the real Bento before a second Triton, so what is compared is what
callers would get. What eight bits range over is taken from media that do not count in the comparison.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.cards import Card, FeatureInput, Parity, Precision
from bentos.contract import Modality
from bentos.deadline import Deadline
from bentos.triton import TritonClient
from scripts.models import triton_config
from scripts.models.calibrating_inputs import inputs_of
from scripts.models.dividing import divide, enough
from scripts.models.errors import RefusedError
from scripts.models.evaluation.judging import judge
from scripts.models.evaluation.labelled import Sample, read_labelled
from scripts.models.gate import Agreement, agree
from scripts.models.metrics import measure
from scripts.models.precision import Converted, ways
from scripts.models.publish import CONFIG_FILE, GOLDEN_FOLDER, GOLDEN_INPUTS, MODEL_FILE, as_sent, read_golden
from scripts.models.repository import Repository
from scripts.models.staging import ASSIGNED, Candidate, stage
from scripts.models.stand import stand
from scripts.stack.settings import StackSettings

_CALL_DEADLINE_S: Final = 120.0


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One way to the precision and how close it came."""

    way: str
    agreement: Agreement
    holds: bool
    megabytes: float


class Quantised(msgspec.Struct, frozen=True, kw_only=True):
    """What was staged (with a dry run, would be), what was tried, and on how many media."""

    card: Card
    attempts: tuple[Attempt, ...]
    megabytes_before: float
    unjudged: int
    dry_run: bool


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is wanted: another `precision` of a version, proved on `data`, with ranges from `calibration_data`."""

    model: str
    version: int
    precision: Precision
    data: Path
    calibration_data: Path | None = None
    reason: str = ""
    dry_run: bool = False


def quantise(
    repository: Repository, order: Order, settings: StackSettings, *, tell: Callable[[str], None] = lambda _: None
) -> Quantised:
    """Convert a version, prove it and stage it.

    Raises:
        RefusedError: It cannot be converted, there is too little to prove it on, or no way to the precision holds;
            with the figures of all.
        ModelsError: It cannot be read, judged or written. The repository is as it was, whatever is raised.
    """
    card = repository.card(order.model, order.version)
    _check(card, order)
    ranges = order.precision == "int8" and card.modality is not Modality.TEXT
    proving, ranging = divide(order.data, order.calibration_data, ranges=ranges)
    weights = (repository.folder(order.model, order.version) / MODEL_FILE).read_bytes()
    inputs = None
    if ranges:
        tell(f"preparing {len(ranging)} media for the ranges")
        inputs = inputs_of(card, ranging)
    attempts: list[Attempt] = []
    for converted in ways(weights, order.precision, inputs):
        tell(f"trying {converted.way} over {len(proving)} media")
        proved = _prove(repository, card, converted, proving, settings, order)
        attempts.append(proved.attempt)
        tell(str(proved.attempt.agreement))
        if proved.attempt.holds:
            staged = stage(
                repository, proved.candidate, reason=order.reason or _reason(proved.attempt), dry_run=order.dry_run
            )
            return Quantised(
                card=staged,
                attempts=tuple(attempts),
                megabytes_before=round(len(weights) / 1e6, 2),
                unjudged=proved.unjudged,
                dry_run=order.dry_run,
            )
    tried = "; ".join(f"{each.way}: {each.agreement}" for each in attempts)
    raise RefusedError(
        f"{order.model}:{order.version} in {order.precision} does not give the same verdicts, so it was not staged. "
        f"{tried}. Try --calibration-data with more and other media, or stay with {card.precision}."
    )


@dataclass(frozen=True, kw_only=True)
class _Proved:
    attempt: Attempt
    candidate: Candidate
    unjudged: int


def _check(card: Card, order: Order) -> None:
    if order.precision == card.precision:
        raise RefusedError(f"{order.model}:{order.version} is in {card.precision} already.")
    if card.precision != "fp32":
        base = f"{order.model}:{card.derived_from}" if card.derived_from else "the float32 version"
        raise RefusedError(f"{order.model}:{order.version} is in {card.precision}; begin with {base}.")
    if card.thresholds is None or isinstance(card.input, FeatureInput):
        raise RefusedError(
            f"{order.model} is one half of a video model: encoder and head are proved and served as one, and stay in "
            "float32. An image model judges videos too, frame by frame, and can be brought to another precision."
        )


def _prove(
    repository: Repository,
    card: Card,
    converted: Converted,
    samples: Sequence[Sample],
    settings: StackSettings,
    order: Order,
) -> _Proved:
    """Have both versions judge the media side by side, from a repository of their own."""
    before = (card.model, card.version)
    with _aside(repository, card) as aside:
        draft = _candidate(repository, card, converted, order, golden=None)
        after = (card.model, stage(aside, draft).version)
        with stand(aside, [before, after], settings, bentos=[card.modality]) as here:
            judgement = asyncio.run(judge(here, card.modality, [before, after], samples))
            inputs = read_golden(repository.root, card.model, card.version)[0]
            golden = asyncio.run(_ask(here.triton.address, after, inputs))
    fake = np.asarray([one.sample.fake for one, _ in judgement.judged], np.bool_)
    old, new = (np.asarray([pair[side].detection.p_fake for pair in judgement.judged]) for side in (0, 1))
    if not enough(fake.tolist()) or card.thresholds is None:
        raise RefusedError(
            f"Only {len(fake)} of {len(samples)} media could be judged; the first that could not: "
            f"{judgement.unjudged[0].name}: {judgement.unjudged[0].message}"
        )
    agreement = agree(old, new, fake, card.thresholds)
    attempt = Attempt(
        way=converted.way,
        agreement=agreement,
        holds=agreement.holds,
        megabytes=round(len(converted.weights) / 1e6, 2),
    )
    candidate = _candidate(repository, card, converted, order, golden=golden)
    proved = msgspec.structs.replace(
        candidate.card,
        metrics=measure(new, fake, name=read_labelled(order.data).name),
        parity=Parity(
            framework=f"{card.model}:{card.version} in {card.precision}", n=agreement.n, largest=agreement.largest
        ),
    )
    return _Proved(
        attempt=attempt,
        candidate=replace(candidate, card=proved),
        unjudged=len(judgement.unjudged),
    )


@contextlib.contextmanager
def _aside(repository: Repository, card: Card) -> Generator[Repository]:
    """A repository for the length of a block that holds this version alone, linked to where it is."""
    with tempfile.TemporaryDirectory(prefix="bonafide-precision-") as folder:
        root, source = Path(folder), repository.root / card.model
        (root / card.model / GOLDEN_FOLDER).mkdir(parents=True)
        (root / card.model / str(card.version)).symlink_to((source / str(card.version)).resolve())
        (root / card.model / CONFIG_FILE).write_bytes((source / CONFIG_FILE).read_bytes())
        golden = source / GOLDEN_FOLDER / GOLDEN_INPUTS
        (root / card.model / GOLDEN_FOLDER / GOLDEN_INPUTS).write_bytes(golden.read_bytes())
        yield Repository(root)


def _candidate(
    repository: Repository,
    card: Card,
    converted: Converted,
    order: Order,
    *,
    golden: Mapping[str, NDArray[Any]] | None,
) -> Candidate:
    """The converted version; until `golden` answers are known, with those of the version it was made of."""
    folder = repository.folder(card.model, card.version)
    inputs, answers = read_golden(repository.root, card.model, card.version)
    return Candidate(
        card=msgspec.structs.replace(
            card,
            version=ASSIGNED,
            digest="",
            precision=order.precision,
            derived_from=card.version,
            metrics=None,
            parity=None,
        ),
        weights=converted.weights,
        config=triton_config.read_model((repository.root / card.model / CONFIG_FILE).read_bytes(), card.modality),
        golden_inputs=inputs,
        golden_outputs=answers if golden is None else {name: golden[name] for name in answers},
        files={name: (folder / name).read_bytes() for name in card.files},
    )


async def _ask(address: str, version: tuple[str, int], inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    client = TritonClient(address)
    try:
        return dict(await client.infer(*version, as_sent(inputs), Deadline.after(_CALL_DEADLINE_S)))
    finally:
        await client.close()


def _reason(attempt: Attempt) -> str:
    return f"{attempt.way}: {attempt.agreement}"
