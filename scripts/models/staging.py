"""Stages a version: it lies complete in the repository, with its golden answers, and nothing is sent to it yet.

A model's first version brings the model's `config.pbtxt`; a later one has to have the same signature, because the
file is the same for all of them.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec
from numpy.typing import NDArray

from bentos.cards import Card, PinnedModel
from scripts.models import history, triton_config
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.publish import (
    CONFIG_FILE,
    GOLDEN_FOLDER,
    GOLDEN_INPUTS,
    PublishError,
    digest_of,
    publish_version,
    write_file,
    write_golden,
)
from scripts.models.repository import Repository
from scripts.models.triton_config import TritonModel

ASSIGNED: Final = 0
"""Version of a card whose number is given when it is staged."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A version that is ready to be staged.

    `card` has the version `ASSIGNED`; its digests are filled in. `weights` is the ONNX graph, in the contract of its
    modality; `files` are those that lie beside it, by name. `config` describes the model to Triton, and counts where
    the model is new. `golden_inputs` and `golden_outputs` are [n, …] by the names of the graph's ends, n ≥ 2; a model
    that has golden inputs already keeps them, and then `golden_outputs` answer those (see `golden_inputs_of`).
    """

    card: Card
    weights: bytes
    config: TritonModel
    golden_inputs: Mapping[str, NDArray]
    golden_outputs: Mapping[str, NDArray]
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


def golden_inputs_of(repository: Repository, model: str) -> Path | None:
    """Return the file of a model's golden inputs; None where it has none, as a new model."""
    file = repository.root / model / GOLDEN_FOLDER / GOLDEN_INPUTS
    return file if file.is_file() else None


def stage(repository: Repository, candidate: Candidate, *, reason: str = "", dry_run: bool = False) -> Card:
    """Put a candidate into the repository and return its card, with its number; with `dry_run` only look at it.

    Raises:
        RefusedError: Its signature is another than the model's.
        ModelsError: It could not be written, for example because the disk is full. Nothing of it stays.
        BusyError: Another command is changing the repository.
    """
    with repository.changing():
        card, new = _looked_at(repository, candidate)
        if not dry_run:
            _put(repository, candidate, card, new=new)
            try:
                _note(repository, card, reason)
            except BaseException:
                _remove(repository, card, new=new)
                raise
    return card


def stage_pair(
    repository: Repository, encoder: Candidate, head: Candidate, *, reason: str = "", dry_run: bool = False
) -> tuple[Card, Card]:
    """Stage a frame encoder and the head that takes its features, whose card is pinned to it, both or none.

    Raises:
        RefusedError: The signature of one is another than its model's.
        ModelsError: They could not be written. Nothing of them stays.
        BusyError: Another command is changing the repository.
    """
    with repository.changing():
        first, first_new = _looked_at(repository, encoder)
        pin = PinnedModel(model=first.model, version=first.version, digest=first.digest)
        head = replace(head, card=msgspec.structs.replace(head.card, encoder=pin))
        second, second_new = _looked_at(repository, head)
        if not dry_run:
            _put(repository, encoder, first, new=first_new)
            try:
                _put(repository, head, second, new=second_new)
                try:
                    for card in (first, second):
                        _note(repository, card, reason)
                except BaseException:
                    _remove(repository, second, new=second_new)
                    raise
            except BaseException:
                _remove(repository, first, new=first_new)
                raise
    return first, second


def _note(repository: Repository, card: Card, reason: str) -> None:
    try:
        history.append(repository.root, history.new_event("stage", card.model, card.version, reason=reason))
    except OSError as error:
        raise ModelsError(f"{card.model} could not be staged, and nothing of it was kept: {error}.") from error


def _looked_at(repository: Repository, candidate: Candidate) -> tuple[Card, bool]:
    """The card with its number, and whether the model is new. Raises `RefusedError` where the signatures differ."""
    card = _numbered(repository, candidate)
    if card.model in repository.table().ensembles:
        raise RefusedError(f"{card.model} is the name of an ensemble already; give the model another one.")
    known = (repository.root / card.model / CONFIG_FILE).is_file()
    if known:
        _same_signature(repository, candidate)
    return card, not known


def _put(repository: Repository, candidate: Candidate, card: Card, *, new: bool) -> None:
    try:
        _write(repository, candidate, card, new=new)
    except (OSError, PublishError) as error:
        _remove(repository, card, new=new)
        raise ModelsError(f"{card.model} could not be staged, and nothing of it was kept: {error}.") from error


def _numbered(repository: Repository, candidate: Candidate) -> Card:
    return msgspec.structs.replace(
        candidate.card,
        version=repository.next_version(candidate.card.model),
        digest=digest_of(candidate.weights),
        files={name: digest_of(data) for name, data in candidate.files.items()},
    )


def _same_signature(repository: Repository, candidate: Candidate) -> None:
    """Hold a later version against the model's own file. Raises `RefusedError` where they differ."""
    model = candidate.card.model
    there = triton_config.parse((repository.root / model / CONFIG_FILE).read_bytes())
    new = triton_config.parse(triton_config.render(candidate.config))
    for kind, old, offered in (("inputs", there.input, new.input), ("outputs", there.output, new.output)):
        before, after = ([(each.name, each.data_type, list(each.dims)) for each in ends] for ends in (old, offered))
        if before != after:
            raise RefusedError(
                f"{model} has other {kind} than this: {_ends(before)} there, {_ends(after)} here. "
                "All versions of a model have one signature; give this one a name of its own with --as."
            )


def _ends(ends: list[tuple[str, int, list[int]]]) -> str:
    return ", ".join(f"{name} {shape}" for name, _, shape in ends)


def _write(repository: Repository, candidate: Candidate, card: Card, *, new: bool) -> None:
    inputs = {} if golden_inputs_of(repository, card.model) else candidate.golden_inputs
    write_golden(repository.root, card.model, card.version, inputs=inputs, outputs=candidate.golden_outputs)
    publish_version(repository.root, card, candidate.weights, files=candidate.files)
    if new:
        # Last, because it is what makes the folder a model.
        config = triton_config.render(replace(candidate.config, versions=(card.version,)))
        write_file(repository.root / card.model / CONFIG_FILE, config)


def _remove(repository: Repository, card: Card, *, new: bool) -> None:
    folder = repository.root / card.model
    if new:
        shutil.rmtree(folder, ignore_errors=True)
        return
    shutil.rmtree(folder / str(card.version), ignore_errors=True)
    (folder / GOLDEN_FOLDER / f"{card.version}.npz").unlink(missing_ok=True)
