"""Who gets the traffic of a model next: the changes of a route as pure functions, and what they leave in use.

A function returns the new route or says in an error what has to be done first; it writes nothing.
"""

from collections.abc import Mapping

import msgspec

from bentos.cards import Canary, Card, Route, TrafficTable
from scripts.models.errors import InUseError, RefusedError

LAST_STEP_PERCENT = 100.0
LEAST_PERCENT = 0.01
"""Callers are told apart to a hundredth of a percent; less would reach nobody."""


def with_canary(model: str, route: Route | None, version: int, percent: float) -> Route:
    """Send `percent` of the callers, from 0.01 to 100, to a version.

    Raises:
        RefusedError: The model has no route yet, the version is stable, or another one is being rolled out.
    """
    if not LEAST_PERCENT <= percent <= LAST_STEP_PERCENT:
        raise RefusedError(f"A canary gets from {LEAST_PERCENT:g} to 100 percent of the callers, not {percent:g}.")
    route = _free(model, route, version)
    shadow = None if route.shadow == version else route.shadow
    return msgspec.structs.replace(route, canary=Canary(version=version, percent=percent), shadow=shadow)


def with_shadow(model: str, route: Route | None, version: int) -> Route:
    """Ask a version beside the one that answers, without anybody seeing its answers.

    Raises:
        RefusedError: The model has no route yet, the version is stable, or another one is being rolled out.
    """
    route = _free(model, route, version)
    return msgspec.structs.replace(route, canary=None, shadow=version)


def promoted(model: str, route: Route | None, version: int | None) -> Route:
    """Have a version answer everybody: the one that is named, else the canary, else the shadow.

    What was stable is kept as `previous`, for the way back. A model without a route gets its first one.

    Raises:
        RefusedError: No version is named and none is being rolled out, or the named one is stable already.
    """
    if version is None:
        version = under_way(route)
    if version is None:
        raise RefusedError(
            f"Nothing of {model} is being rolled out, so say which version: bonafide models promote {model} VERSION."
        )
    if route is None:
        return Route(stable=version)
    if route.stable == version:
        aside = under_way(route)
        hint = "" if aside is None else f" To end the roll-out of version {aside}: bonafide models rollback {model}."
        raise RefusedError(f"Version {version} of {model} is stable already.{hint}")
    return Route(stable=version, previous=route.stable)


def rolled_back(model: str, route: Route | None, version: int | None = None) -> Route:
    """Take back the last change: drop the canary and the shadow, or else have `previous` answer again.

    With a `version`, have that one answer instead, and drop whatever is being rolled out.

    Raises:
        RefusedError: There is nothing to go back to.
    """
    if route is None:
        raise RefusedError(f"{model} has no traffic, so there is nothing to take back.")
    dropped = msgspec.structs.replace(route, canary=None, shadow=None)
    if version == route.stable or (version is None and under_way(route) is not None):
        if dropped == route:
            raise RefusedError(f"Version {version} of {model} is stable already, and nothing is being rolled out.")
        return dropped
    target = route.previous if version is None else version
    if target is None:
        raise RefusedError(
            f"No version of {model} was stable before version {route.stable}; name one: "
            f"bonafide models rollback {model} --to VERSION."
        )
    return Route(stable=target, previous=route.stable)


def under_way(route: Route | None) -> int | None:
    """Return the version that is being rolled out: the canary, or else the shadow."""
    if route is None:
        return None
    return route.canary.version if route.canary else route.shadow


def retired(
    model: str, table: TrafficTable, version: int, *, force_previous: bool = False, out_of_service: bool = False
) -> Route | None:
    """Take a version out of a model's route; the answer is None where the model has no traffic then.

    Raises:
        InUseError: It answers callers, is being rolled out, or is the way back, and nothing says that this is meant.
    """
    route = table.models.get(model)
    if route is None or version not in route.versions:
        return route
    if version == under_way(route) or version == route.shadow:
        raise InUseError(
            f"Version {version} of {model} is being rolled out; take it back first: bonafide models rollback {model}."
        )
    if version == route.stable:
        if not out_of_service:
            raise InUseError(
                f"Version {version} of {model} answers its callers. Promote another one first: bonafide models "
                f"promote {model} VERSION. Or take the whole model out of service with --out-of-service."
            )
        return _nobody(model, table, route)
    if not force_previous:
        raise InUseError(
            f"Version {version} of {model} is what a rollback goes back to; --force-previous gives that up."
        )
    return msgspec.structs.replace(route, previous=None)


def with_default(table: TrafficTable, modality: str, name: str) -> TrafficTable:
    """Have callers who name no model be answered by this one. Raises `RefusedError` where it gets no traffic."""
    if name not in table.models and name not in table.ensembles:
        known = ", ".join((*table.models, *table.ensembles)) or "none"
        raise RefusedError(
            f"{name} gets no traffic, so it cannot be the default; these do: {known}. "
            f"Its first version goes live with: bonafide models promote {name} VERSION."
        )
    return msgspec.structs.replace(table, defaults={**table.defaults, modality: name})


def pins(table: TrafficTable, cards: Mapping[tuple[str, int], Card]) -> dict[tuple[str, int], frozenset[str]]:
    """Return the encoders that versions with traffic are pinned to, with the names of the models that need them."""
    found: dict[tuple[str, int], frozenset[str]] = {}
    for model, route in table.models.items():
        for version in route.versions:
            card = cards.get((model, version))
            if card is not None and card.encoder is not None:
                key = (card.encoder.model, card.encoder.version)
                found[key] = found.get(key, frozenset()) | {model}
    return found


def _free(model: str, route: Route | None, version: int) -> Route:
    """The route, where this version may be rolled out beside its stable one."""
    if route is None:
        raise RefusedError(
            f"{model} gets no traffic yet, so there is nothing to roll out beside. "
            f"Its first version goes live with: bonafide models promote {model} {version}."
        )
    if version == route.stable:
        raise RefusedError(f"Version {version} of {model} is stable: it answers already.")
    aside = under_way(route)
    if aside not in (None, version):
        raise RefusedError(
            f"Version {aside} of {model} is being rolled out; end that first: bonafide models promote {model}, or "
            f"bonafide models rollback {model}."
        )
    return route


def _nobody(model: str, table: TrafficTable, route: Route) -> None:
    """Give a model no traffic at all, where nothing depends on it."""
    aside = under_way(route)
    if aside is not None:
        raise InUseError(
            f"Version {aside} of {model} is being rolled out; take it back first: bonafide models rollback {model}."
        )
    for modality, default in table.defaults.items():
        if default == model:
            raise InUseError(
                f"{model} is the default of {modality}; name another first: bonafide models default {modality} NAME."
            )
    for name, ensemble in table.ensembles.items():
        if any(member.model == model for member in ensemble.members):
            raise InUseError(
                f"{model} is a member of the ensemble {name}; withdraw that first: "
                f"bonafide models ensemble withdraw {name}."
            )
