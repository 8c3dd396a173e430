"""Declares and withdraws ensembles in the traffic table: several models that answer as one."""

import math
from collections.abc import Sequence

import msgspec

from bentos.cards import Card, Ensemble, Fusion, Member
from bentos.contract import Modality, Thresholds
from bentos.ensembles import default_thresholds, find_fault, suits
from scripts.models import history
from scripts.models.errors import InUseError, RefusedError, UnknownVersionError
from scripts.models.names import check_name
from scripts.models.repository import Repository
from scripts.models.rollout import write_table_with_history


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What is wished of an ensemble; what is None follows from its members, or from an earlier declaration."""

    name: str
    members: tuple[Member, ...]
    fusion: Fusion = "mean"
    modality: Modality | None = None
    low: float | None = None
    high: float | None = None
    minimum: int = 1
    title: str | None = None
    description: str | None = None
    reason: str = ""


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """An ensemble as it is declared now; `changed` is false where it was declared just like that already."""

    name: str
    ensemble: Ensemble
    changed: bool
    dry_run: bool


def read_member(text: str) -> Member:
    """Read NAME or NAME:WEIGHT. Raises `RefusedError` where it is neither."""
    name, colon, weight = text.partition(":")
    try:
        value = float(weight) if colon else 1.0
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise RefusedError(f"{text!r} is not NAME:WEIGHT: a weight is a number above 0, as in {name}:2.5.")
    return Member(model=check_name(name), weight=value)


def declare(repository: Repository, wished: Declaration, *, dry_run: bool = False) -> Declared:
    """Declare an ensemble, or declare it anew; Bentos follow within seconds. With `dry_run` only say what it would be.

    Raises:
        RefusedError: It is not sound: a member gets no traffic or judges another kind of medium, the name is that of a
            model, or a number is out of range.
        BusyError: Another command is changing the repository.
    """
    name = check_name(wished.name)
    with repository.changing():
        table = repository.table()
        before = table.ensembles.get(name)
        if name in repository.models():
            raise RefusedError(f"{name} is the name of a model already; give the ensemble another one.")
        if wished.fusion != "weighted" and any(member.weight != 1 for member in wished.members):
            raise RefusedError(
                f"Weights count with --fusion weighted only, and this is {wished.fusion}: say so, or leave them away."
            )
        ensemble = _completed(repository, name, wished, before)
        fault = find_fault(name, ensemble, table.models)
        if fault is not None:
            raise RefusedError(f"{fault} Nothing was changed.")
        unchanged = before is not None and msgspec.structs.replace(ensemble, version=before.version) == before
        if before is not None and unchanged:
            return Declared(name=name, ensemble=before, changed=False, dry_run=dry_run)
        if not dry_run:
            event = history.new_event(
                "declare", name, ensemble.version, reason=wished.reason, before=before, after=ensemble
            )
            declared = {**table.ensembles, name: ensemble}
            write_table_with_history(repository, event, msgspec.structs.replace(table, ensembles=declared))
    return Declared(name=name, ensemble=ensemble, changed=True, dry_run=dry_run)


def withdraw(repository: Repository, name: str, *, reason: str = "", dry_run: bool = False) -> Ensemble:
    """Take an ensemble out of the traffic table and return what it was. Its members are models as before.

    Raises:
        UnknownVersionError: There is no such ensemble.
        InUseError: It is the default of its kind of medium.
        BusyError: Another command is changing the repository.
    """
    with repository.changing():
        table = repository.table()
        ensemble = table.ensembles.get(name)
        if ensemble is None:
            known = ", ".join(table.ensembles) or "none"
            raise UnknownVersionError(f"There is no ensemble {name}; there are: {known}.")
        for modality, default in table.defaults.items():
            if default == name:
                raise InUseError(
                    f"{name} is the default of {modality}; name another first: bonafide models default {modality} NAME."
                )
        if not dry_run:
            rest = {other: each for other, each in table.ensembles.items() if other != name}
            event = history.new_event("withdraw", name, ensemble.version, reason=reason, before=ensemble)
            write_table_with_history(repository, event, msgspec.structs.replace(table, ensembles=rest))
    return ensemble


def _completed(repository: Repository, name: str, wished: Declaration, before: Ensemble | None) -> Ensemble:
    """The declaration with everything that was left open."""
    if not wished.members:
        raise RefusedError("An ensemble needs members: name each with --member NAME, or --member NAME:WEIGHT.")
    cards = [_stable_card(repository, member.model) for member in wished.members]
    modality = wished.modality or _common_modality(cards)
    for card in cards:
        if not suits(modality, card):
            raise RefusedError(
                f"{card.model} does not judge media of the kind {modality}: its card says {card.modality}"
                f"{'' if card.thresholds else ' and that it gives no verdicts'}."
            )
    usual = default_thresholds(wished.fusion, [card.thresholds for card in cards if card.thresholds is not None])
    kept = before is not None and before.description != _usual_description(before.members)
    return Ensemble(
        version=_next_version(repository, name, before),
        modality=modality,
        title=wished.title or (before.title if before else name.replace("_", " ").capitalize()),
        description=wished.description
        or (before.description if before and kept else _usual_description(wished.members)),
        fusion=wished.fusion,
        members=wished.members,
        thresholds=Thresholds(
            low=usual.low if wished.low is None else wished.low,
            high=usual.high if wished.high is None else wished.high,
        ),
        minimum=wished.minimum,
    )


def _usual_description(members: Sequence[Member]) -> str:
    return f"Asks {', '.join(member.model for member in members)} and joins their scores."


def _stable_card(repository: Repository, model: str) -> Card:
    route = repository.route(model)
    if route is not None:
        return repository.card(model, route.stable)
    if model in repository.table().ensembles:
        raise RefusedError(f"{model} is an ensemble, and members are models: name its members instead.")
    if not repository.versions(model):
        known = ", ".join(repository.table().models) or "none"
        raise RefusedError(f"There is no model {model}; these get traffic and can be members: {known}.")
    newest = repository.card(model, repository.versions(model)[-1])
    if newest.thresholds is None:
        raise RefusedError(f"{model} gives no verdicts, so it cannot be a member.")
    raise RefusedError(
        f"{model} gets no traffic yet, so it cannot be a member. Its first version goes live with: "
        f"bonafide models promote {model} {newest.version}."
    )


def _common_modality(cards: Sequence[Card]) -> Modality:
    """The kind of medium that all can judge: models of pictures judge videos beside one of videos."""
    kinds = {card.modality for card in cards}
    return Modality.VIDEO if kinds == {Modality.VIDEO, Modality.IMAGE} else cards[0].modality


def _next_version(repository: Repository, name: str, before: Ensemble | None) -> int:
    """One more than the highest that is or ever was, because answers name it."""
    declared = (event.version or 0 for event in history.read(repository.root, model=name))
    return max((before.version if before else 0, *declared), default=0) + 1
