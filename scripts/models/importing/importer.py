"""Brings a model from its source to a staged version: the steps of `bonafide models import`."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bentos.cards import Card
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.graph import GraphError
from scripts.models.importing.brought import Brought
from scripts.models.importing.families import family_of
from scripts.models.importing.labels import check_names
from scripts.models.importing.sources import resolve
from scripts.models.importing.wishes import Wishes
from scripts.models.names import check_name
from scripts.models.repository import Repository
from scripts.models.session import ParityError
from scripts.models.staging import stage, stage_pair


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A staged version (with a dry run, what it would be) and what a person should know of how it was read."""

    card: Card
    notes: tuple[str, ...]
    megabytes: float


def import_model(
    texts: Sequence[str], wishes: Wishes, repository: Repository, *, reason: str = "", dry_run: bool = False
) -> list[Imported]:
    """Bring what `texts` name (one source, or a frame encoder and its head) and stage it; with `dry_run` only look.

    Raises:
        RefusedError: It cannot be brought, or is not good enough; the sentence says what to do.
        ModelsError: It could not be read or written. The repository is as it was, whatever is raised.
    """
    check_name(wishes.name)
    _look_at(repository)
    try:
        source = resolve(texts, wishes)
        check_names(source.config, wishes.fake_labels)
        brought = family_of(source, wishes)(source, wishes, repository)
        wishes.tell("looking at it once more" if dry_run else "staging")
        cards = _stage(repository, brought, reason=reason or f"Imported from {source.about}", dry_run=dry_run)
    except (GraphError, ParityError) as error:
        raise RefusedError(f"The model cannot be brought into the contract: {error}.") from error
    except MemoryError as error:
        raise ModelsError(
            "There is not enough memory to convert the model; nothing was changed. Import it on a machine with more, "
            "with the repository's folder there."
        ) from error
    return [
        Imported(card=card, notes=each.notes, megabytes=round(len(each.candidate.weights) / 1e6, 2))
        for card, each in zip(cards, brought, strict=True)
    ]


def _look_at(repository: Repository) -> None:
    """Say it before minutes of work are lost that the repository cannot be written. Raises `ModelsError`."""
    try:
        with tempfile.TemporaryFile(dir=_folder(repository.root)):
            pass
    except OSError as error:
        raise ModelsError(f"The model repository {repository.root} cannot be written: {error.strerror}.") from error


def _folder(root: Path) -> Path:
    if not root.is_dir():
        raise ModelsError(f"There is no model repository at {root}; set BONAFIDE_MODEL_REPOSITORY to its folder.")
    return root


def _stage(repository: Repository, brought: Sequence[Brought], *, reason: str, dry_run: bool) -> Sequence[Card]:
    match [each.candidate for each in brought]:
        case [candidate]:
            return [stage(repository, candidate, reason=reason, dry_run=dry_run)]
        case [encoder, head]:
            return stage_pair(repository, encoder, head, reason=reason, dry_run=dry_run)
        case _:
            raise RuntimeError("a source gives one version, or a frame encoder and its head")
