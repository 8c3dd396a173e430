"""Changes of who answers: a version is loaded and asked, the pointer moves, and what nobody needs is unloaded.

Whatever fails before the pointer moves leaves the traffic and the lists of versions as they were. A change between
versions that are loaded already, which a rollback mostly is, waits for no loading.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from bentos.cards import TRAFFIC_FILE, Route, TrafficTable
from scripts.models import history
from scripts.models.errors import BusyError, ModelsError, RefusedError
from scripts.models.following import FOLLOW_DEADLINE_S, Bentos, follow, wait_idle
from scripts.models.loading import bring, drop_unneeded, list_needed, list_unit, needed, take_back, unit_of, unlist
from scripts.models.publish import digest_of, write_traffic
from scripts.models.repository import Repository
from scripts.models.serving import Platform, is_running
from scripts.stack.control import ModelError, TritonUnreachableError

DRAIN_DEADLINE_S: Final = 30.0
_CLEARING_LOCK_S: Final = 0.5

Numbered = tuple[str, int]
"""A model and one of its versions."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """How the platform took a new table.

    `follow_s` is after how many seconds all Bentos followed; None where not all that run did in time, or none runs.
    `unloaded` and `kept` name versions as NAME:VERSION: what Triton let go, and what it still holds for calls in
    flight. `clear`: nothing is asked or loaded any more but what the table needs. `notes` say what is left to do.
    """

    follow_s: float | None = None
    unloaded: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    clear: bool = True
    notes: tuple[str, ...] = ()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a model's route that was made, or with `dry_run` would be."""

    action: history.Action
    model: str
    version: int
    before: Route | None
    after: Route | None
    dry_run: bool = False
    settled: Settled = Settled()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to change: the new route of `model`, as a function of the one that it has when it is written.

    `offline` writes without loading, for a platform that does not run. `details` go into the history.
    """

    action: history.Action
    model: str
    version: int
    route: Callable[[Route | None], Route]
    reason: str = ""
    offline: bool = False
    dry_run: bool = False
    drain_s: float = DRAIN_DEADLINE_S
    details: dict[str, Any] | None = None


async def point(repository: Repository, platform: Platform, wish: Wish) -> Change:
    """Load what the new route needs, move the pointer, and clear up behind it.

    Raises:
        RefusedError: The route cannot be changed like that, or the version does not load or not answer as recorded.
        NotRunningError: No Triton answers, and the wish is not `offline`.
        UnknownVersionError: There is no such version.
        BusyError: Another command is changing the repository.
    """
    unit = unit_of(repository, wish.model, wish.version)
    before = repository.route(wish.model)
    after = wish.route(before)
    if wish.dry_run:
        return _change(wish, before, after)
    if wish.offline and await is_running(platform):
        raise RefusedError("Triton runs, so leave out --offline: the version is loaded and asked before it answers.")
    with repository.loading():
        if wish.offline:
            listed = list_unit(repository, unit)
        else:
            listed = await bring(repository, platform, unit)
        try:
            before, after = _write(repository, wish)
        except BaseException:
            if wish.offline:
                unlist(repository, listed)
            else:
                async with platform.control() as control:
                    await take_back(repository, control, listed)
            raise
        settled = Settled() if wish.offline else await settle(repository, platform, drain_s=wish.drain_s)
    return _change(wish, before, after, settled)


async def point_back(repository: Repository, platform: Platform, wish: Wish) -> Change:
    """Move the pointer to a version that is loaded already, at once, whatever is being loaded meanwhile.

    Whether Triton or a Bento runs makes no difference to what is written. Raises as `point` does, but for loading, and
    `RefusedError` where another command took the version out of the route meanwhile: it may be unloaded by now.
    """

    def among_loaded(route: Route | None) -> Route:
        after = wish.route(route)
        if route is None or not after.versions <= route.versions:
            raise RefusedError(
                f"Another command has changed the traffic of {wish.model} meanwhile, and nothing was changed here. "
                f"See bonafide models show {wish.model}, and run the command again if it is still wanted."
            )
        if after.stable != route.stable:
            # Somebody may have removed its files by hand.
            repository.card(wish.model, after.stable)
        return after

    before = repository.route(wish.model)
    after = among_loaded(before)
    if not wish.dry_run:
        before, after = _write(repository, replace(wish, route=among_loaded))
        settled = await settle(repository, platform, drain_s=wish.drain_s, locked=False)
        return _change(wish, before, after, settled)
    return _change(wish, before, after)


async def settle(repository: Repository, platform: Platform, *, drain_s: float, locked: bool = True) -> Settled:
    """Wait until the Bentos follow the table that is written, then have Triton let go of what nothing needs.

    Nothing is unloaded while a Bento does not say by which table it routes, or has a call in flight with it.
    `locked`: the caller holds `Repository.loading`.
    """

    def digest() -> str:
        return digest_of((repository.root / TRAFFIC_FILE).read_bytes())

    # A rollback may drop a version from the table after the Bentos have answered here and before anything is unloaded.
    # They route to it until they have seen that, so it is left to whoever has dropped it.
    try:
        pointed, broken = _pointed(repository), ""
    except ModelsError as error:
        pointed, broken = frozenset[Numbered](), str(error)
    followed = await follow(platform, digest, deadline_s=FOLLOW_DEADLINE_S)
    if followed.seconds is None:
        behind = "; ".join(followed.bentos.laggards(digest()))
        note = f"Not every Bento follows yet ({behind}); nothing was unloaded. They look once a second."
        return Settled(clear=False, notes=(note,))
    follow_s = round(followed.seconds, 2) if followed.bentos.figures else None
    notes = () if followed.bentos.figures else ("No Bento runs; each reads the table when it starts.",)
    if broken:
        # The pointer is moved already, and what else is wrong with the repository takes nothing of that back.
        return Settled(follow_s=follow_s, clear=False, notes=(*notes, f"Nothing was unloaded. {broken}"))
    try:
        with contextlib.nullcontext() if locked else repository.loading(deadline_s=_CLEARING_LOCK_S):
            cleared = await _clear(repository, platform, followed.bentos, pointed, drain_s)
    except BusyError:
        note = "Another command is loading; what nobody needs is unloaded with a later one."
        cleared = Settled(clear=False, notes=(note,))
    except ModelsError as error:
        cleared = Settled(clear=False, notes=(f"What nobody needs stays as it is. {error}",))
    return msgspec.structs.replace(cleared, follow_s=follow_s, notes=(*notes, *cleared.notes))


async def _clear(
    repository: Repository, platform: Platform, bentos: Bentos, pointed: frozenset[Numbered], drain_s: float
) -> Settled:
    """Unload what nothing needs, once its last call is over or the deadline passed; `pointed` stays in any case."""
    if not await is_running(platform):
        list_needed(repository)
        return Settled(notes=("No Triton answers; it loads what is needed when it starts.",))
    leaving = bentos.busy() - pointed
    if leaving:
        bentos = await wait_idle(platform, leaving, deadline_s=drain_s)
    if bentos.troubles:
        why = "; ".join(bentos.troubles.values())
        return Settled(clear=False, notes=(f"Nothing was unloaded, because a Bento does not answer: {why}.",))
    try:
        async with platform.control() as control:
            dropped, kept = await drop_unneeded(repository, control, bentos.busy() | pointed)
    except (ModelError, ModelsError, TritonUnreachableError) as error:
        note = f"Triton did not unload what nobody needs; a later command does. The reason: {error}"
        return Settled(clear=False, notes=(note,))
    unloaded, stays = ([f"{each.model}:{each.number}" for each in versions] for versions in (dropped, kept))
    note = f"{', '.join(stays)}: calls may be in flight with it, so it stays loaded until a later command."
    return Settled(unloaded=tuple(unloaded), kept=tuple(stays), clear=not kept, notes=(note,) if kept else ())


def _pointed(repository: Repository) -> frozenset[Numbered]:
    """The versions that the traffic table needs at this moment."""
    return frozenset((model, number) for model, numbers in needed(repository).items() for number in numbers)


def _write(repository: Repository, wish: Wish) -> tuple[Route | None, Route]:
    """Write the route and the history; the route is worked out again, from what is there under the lock."""
    with repository.changing():
        before = repository.route(wish.model)
        after = wish.route(before)
        event = history.new_event(
            wish.action,
            wish.model,
            wish.version,
            reason=wish.reason,
            before=before,
            after=after,
            **(wish.details or {}),
        )
        write_with_history(repository, event, after)
    return before, after


def write_with_history(repository: Repository, event: history.Event, route: Route | None) -> None:
    """Write the route of a model and the event of it, both or none. Raises `ModelsError` where that cannot be done."""
    before = repository.route(event.model)
    try:
        repository.write_route(event.model, route)
        try:
            history.append(repository.root, event)
        except BaseException:
            _take_back(repository, event.model, before)
            raise
    except OSError as error:
        raise ModelsError(
            f"{repository.root} cannot be written: {error.strerror}. The traffic of {event.model} is as it was."
        ) from error


def write_table_with_history(repository: Repository, event: history.Event, table: TrafficTable) -> None:
    """Write the traffic table and the event of it, both or none. Raises `ModelsError` where that cannot be done."""
    before = repository.table()
    try:
        write_traffic(repository.root, table)
        try:
            history.append(repository.root, event)
        except BaseException:
            write_traffic(repository.root, before)
            raise
    except OSError as error:
        raise ModelsError(f"{repository.root} cannot be written: {error.strerror}. Nothing was changed.") from error


def _take_back(repository: Repository, model: str, before: Route | None) -> None:
    try:
        repository.write_route(model, before)
    except OSError as error:
        raise ModelsError(
            f"{repository.root} cannot be written: {error.strerror}. The traffic of {model} was changed before that, "
            f"and the history does not say so. Make room, and take it back: bonafide models rollback {model}."
        ) from error


def _change(wish: Wish, before: Route | None, after: Route | None, settled: Settled | None = None) -> Change:
    return Change(
        action=wish.action,
        model=wish.model,
        version=wish.version,
        before=before,
        after=after,
        dry_run=wish.dry_run,
        settled=settled or Settled(),
    )
