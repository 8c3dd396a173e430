"""Takes versions out of service and, where that is wished, out of the repository; and names the defaults."""

import shutil
from pathlib import Path
from typing import Final

import msgspec

from bentos.cards import Card
from bentos.contract import Modality
from scripts.models import history
from scripts.models.errors import InUseError, ModelsError, RefusedError
from scripts.models.publish import GOLDEN_FOLDER
from scripts.models.repository import Repository
from scripts.models.rollout import DRAIN_DEADLINE_S, Settled, settle, write_table_with_history, write_with_history
from scripts.models.serving import Platform
from scripts.models.traffic import pins, retired, with_default

_DELETED: Final = "retired"


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was taken out of service, or with `dry_run` would be; `deleted`: out of the repository too."""

    model: str
    version: int
    deleted: bool
    dry_run: bool
    settled: Settled = Settled()


class Defaulted(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers callers of a modality that name no model: before, and from now on."""

    modality: Modality
    before: str | None
    after: str
    dry_run: bool


def cards_with_traffic(repository: Repository, *, but: tuple[str, int] | None = None) -> dict[tuple[str, int], Card]:
    """Return the card of every version that the traffic table names, `but` of this one.

    Raises:
        ModelsError: One is broken.
    """
    table = repository.table()
    return {
        (model, version): repository.card(model, version)
        for model, route in table.models.items()
        for version in route.versions
        if (model, version) != but
    }


async def retire(
    repository: Repository,
    platform: Platform,
    model: str,
    version: int,
    *,
    delete: bool = False,
    force_previous: bool = False,
    out_of_service: bool = False,
    reason: str = "",
    dry_run: bool = False,
    drain_s: float = DRAIN_DEADLINE_S,
) -> Retired:
    """Take a version out of its model's route and out of Triton, and with `delete` out of the repository.

    Raises:
        UnknownVersionError: There is no such version.
        InUseError: It answers callers, is the way back, or is needed by a version that does; or, with `delete`, calls
            are still in flight with it.
        ModelsError: The repository cannot be written.
        BusyError: Another command is changing the repository.
    """
    repository.folder(model, version)
    _check_unpinned(repository, model, version, delete=delete)
    after = retired(model, repository.table(), version, force_previous=force_previous, out_of_service=out_of_service)
    if dry_run:
        return Retired(model=model, version=version, deleted=delete, dry_run=True)
    with repository.loading():
        with repository.changing():
            _check_unpinned(repository, model, version, delete=delete)
            before = repository.route(model)
            after = retired(
                model, repository.table(), version, force_previous=force_previous, out_of_service=out_of_service
            )
            event = history.new_event("retire", model, version, reason=reason, before=before, after=after)
            write_with_history(repository, event, after)
        settled = await settle(repository, platform, drain_s=drain_s)
        if delete:
            if not settled.clear:
                raise InUseError(
                    f"{model}:{version} is retired and not deleted yet; run the command again later. "
                    f"{' '.join(settled.notes)}"
                )
            with repository.changing():
                _delete(repository, model, version)
                history.append(repository.root, history.new_event("delete", model, version, reason=reason))
    return Retired(model=model, version=version, deleted=delete, dry_run=False, settled=settled)


def name_default(
    repository: Repository, modality: Modality, name: str, *, reason: str = "", dry_run: bool = False
) -> Defaulted:
    """Have callers of a modality who name no model be answered by this model or ensemble.

    Raises:
        RefusedError: It gets no traffic, or judges other media.
        ModelsError: The repository cannot be written.
        BusyError: Another command is changing the repository.
    """
    with repository.changing():
        table = repository.table()
        changed = with_default(table, modality, name)
        judges = _modality_of(repository, name)
        # A model of pictures judges videos by their frames.
        if judges is not modality and (modality, judges) != (Modality.VIDEO, Modality.IMAGE):
            raise RefusedError(f"{name} judges {judges}, so it cannot be the default of {modality}.")
        before = table.defaults.get(modality)
        if not dry_run:
            event = history.new_event("default", name, reason=reason, modality=modality.value, instead_of=before)
            write_table_with_history(repository, event, changed)
    return Defaulted(modality=modality, before=before, after=name, dry_run=dry_run)


def _modality_of(repository: Repository, name: str) -> Modality:
    table = repository.table()
    if name in table.ensembles:
        return table.ensembles[name].modality
    return repository.card(name, table.models[name].stable).modality


def _check_unpinned(repository: Repository, model: str, version: int, *, delete: bool) -> None:
    """Raise `InUseError` where a version needs this one: one with traffic, or to delete it any at all."""
    # Nothing pins itself, and one whose own card is broken has to be got rid of.
    needing = pins(repository.table(), cards_with_traffic(repository, but=(model, version))).get((model, version))
    if needing:
        raise InUseError(
            f"{model}:{version} is the encoder of {', '.join(sorted(needing))}, which gets traffic: the two are one "
            "unit. Retire the version of that model first; this one goes with it."
        )
    if not delete:
        return
    for other in repository.models():
        for number in repository.versions(other):
            if (other, number) == (model, version):
                continue
            encoder = repository.card(other, number).encoder
            if encoder is not None and (encoder.model, encoder.version) == (model, version):
                raise InUseError(
                    f"{other}:{number} cannot be served without {model}:{version}. Delete that first: "
                    f"bonafide models retire {other} {number} --delete."
                )


def _delete(repository: Repository, model: str, version: int) -> None:
    """Remove a version with its golden answers; the last one takes its model's folder with it."""
    folder = repository.root / model
    try:
        if repository.versions(model) == (version,):
            _remove(folder)
            return
        _remove(folder / str(version))
        (folder / GOLDEN_FOLDER / f"{version}.npz").unlink(missing_ok=True)
        if repository.listed(model) == (version,):
            repository.list_versions(model, repository.versions(model)[-1:])
    except OSError as error:
        raise ModelsError(f"{model}:{version} could not be deleted: {error.strerror}.") from error


def _remove(folder: Path) -> None:
    """Remove a folder, out of its place in one step, so that nobody meets half of it."""
    aside = folder.with_name(f".{folder.name}.{_DELETED}")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
