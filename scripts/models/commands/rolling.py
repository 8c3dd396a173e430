"""`bonafide models promote`, `rollback`, `retire` and `default`: who answers, and the way back."""

import asyncio
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console

from bentos.cards import Route
from bentos.contract import Modality
from scripts.models.commands.console import (
    AsJson,
    DryRun,
    Reason,
    answer,
    load_platform,
    repository,
    say,
    settings,
    telling,
    wait_heard,
)
from scripts.models.errors import RefusedError
from scripts.models.names import Target
from scripts.models.repository import Repository
from scripts.models.retiring import Defaulted, Retired, name_default
from scripts.models.retiring import retire as retire_version
from scripts.models.rollout import DRAIN_DEADLINE_S, Change, Settled, Wish, point, point_back
from scripts.models.traffic import promoted, rolled_back
from scripts.models.validation import validate

T = TypeVar("T")

_LARGEST_VERSION: Final = 999_999_999

Name = Annotated[str, typer.Argument(help="The model.")]
Number = Annotated[int, typer.Argument(min=1, max=_LARGEST_VERSION, help="The version.")]
Offline = Annotated[
    bool, typer.Option("--offline", help="The platform does not run: have the version loaded at its next start.")
]
SkipValidation = Annotated[
    bool, typer.Option("--skip-validation", help="Do not try it on a second Triton first; needs a --reason.")
]
Drain = Annotated[
    float,
    typer.Option(
        "--drain", min=0, max=7200, help="Seconds to wait for calls in flight before an old version stays loaded."
    ),
]


def promote(
    name: Name,
    version: Annotated[
        int | None,
        typer.Argument(min=1, max=_LARGEST_VERSION, help="The version; else the one that is being rolled out."),
    ] = None,
    *,
    skip_validation: SkipValidation = False,
    offline: Offline = False,
    drain: Drain = DRAIN_DEADLINE_S,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Have a version answer every caller; what answered before stays loaded for the way back.

    Example: bonafide models promote image_cnn --reason "1 % fewer false alarms on the May set"
    """
    with telling(as_json=as_json):
        here, model = repository(), Target.parse(name).model
        after = promoted(model, here.route(model), version)
        wish = Wish(
            action="promote",
            model=model,
            version=after.stable,
            # The one that is meant now, also where another command moves the pointer meanwhile.
            route=lambda route: promoted(model, route, after.stable),
            reason=reason,
            offline=offline,
            dry_run=dry_run,
            drain_s=drain,
        )
        if not dry_run:
            prove(here, model, after.stable, skip=skip_validation, reason=reason)
        change = run(point(here, load_platform(), wish))
    answer(change, as_json=as_json, text=lambda console: tell_change(console, change))


def rollback(
    name: Name,
    *,
    to: Annotated[
        int | None, typer.Option("--to", min=1, max=_LARGEST_VERSION, help="Have this version answer instead.")
    ] = None,
    offline: Offline = False,
    drain: Drain = DRAIN_DEADLINE_S,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """End a roll-out, or else have the version that was stable before answer again. Takes seconds.

    Example: bonafide models rollback image_cnn --reason "blames screenshots"
    """
    with telling(as_json=as_json):
        here, platform, model = repository(), load_platform(), Target.parse(name).model
        before = here.route(model)
        after = rolled_back(model, before, to)
        wish = Wish(
            action="rollback",
            model=model,
            version=after.stable,
            route=lambda route: _meant(model, rolled_back(model, route, to), after),
            reason=reason,
            offline=offline,
            dry_run=dry_run,
            drain_s=drain,
        )
        loaded = before is not None and after.stable in before.versions
        change = run((point_back if loaded else point)(here, platform, wish))
    answer(change, as_json=as_json, text=lambda console: tell_change(console, change))


def _meant(model: str, now: Route, then: Route) -> Route:
    """The route that is gone back to, where it is the one that was seen when the command began.

    Of two rollbacks at once the second would otherwise take back the first, or go one version further than was meant.
    """
    if now.stable != then.stable:
        raise RefusedError(
            f"Another command has changed the traffic of {model} meanwhile, and nothing was changed here. See "
            f"bonafide models show {model}, and run the command again if it is still wanted."
        )
    return now


def retire(
    name: Name,
    version: Number,
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Remove it from the repository too.")] = False,
    force_previous: Annotated[
        bool, typer.Option("--force-previous", help="Also where it is what a rollback goes back to.")
    ] = False,
    out_of_service: Annotated[
        bool, typer.Option("--out-of-service", help="Also where it is the last that answers: the model is not served.")
    ] = False,
    drain: Drain = DRAIN_DEADLINE_S,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take a version out of service that nobody needs; what gets traffic cannot be taken away by accident.

    Example: bonafide models retire image_cnn 1 --force-previous --delete
    """
    with telling(as_json=as_json):
        retired = run(
            retire_version(
                repository(),
                load_platform(),
                Target.parse(name).model,
                version,
                delete=delete,
                force_previous=force_previous,
                out_of_service=out_of_service,
                reason=reason,
                dry_run=dry_run,
                drain_s=drain,
            )
        )
    answer(retired, as_json=as_json, text=lambda console: _tell_retired(console, retired))


def default(
    modality: Annotated[Modality, typer.Argument(help="The kind of media.")],
    name: Annotated[str, typer.Argument(help="The model or ensemble that judges them where a caller names none.")],
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Name the model that is asked where a caller names none.

    Example: bonafide models default image vit_faces
    """
    with telling(as_json=as_json):
        target = Target.parse(name).model
        done = name_default(repository(), modality, target, reason=reason, dry_run=dry_run)
        if not dry_run:
            wait_heard()
    answer(done, as_json=as_json, text=lambda console: _tell_default(console, done))


def run(change: Coroutine[Any, Any, T]) -> T:
    """Run a change to its end. SIGTERM ends it as Ctrl-C does, so that what it has begun is taken back."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt) if threading.current_thread() is threading.main_thread() else None
    try:
        return asyncio.run(change)
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def prove(here: Repository, model: str, version: int, *, skip: bool, reason: str) -> None:
    """Look at a version that gets traffic for the first time, on a second Triton; others were looked at already.

    Raises:
        RefusedError: It is not good enough, or that is to be skipped without a reason.
    """
    if skip and not reason:
        raise RefusedError("--skip-validation needs a --reason, which is kept in the history.")
    route = here.route(model)
    if skip or (route is not None and version in route.versions):
        return
    say(f"Validating {model}:{version} on a second Triton …")
    report = validate(here, model, version, settings())
    if not report.passed:
        raise RefusedError(
            f"{model}:{version} is not fit to be served, and nothing was changed. {' '.join(report.failures)}"
        )


def tell_change(console: Console, change: Change) -> None:
    """Print what was changed, and how the platform took it."""
    would = "Would change" if change.dry_run else "Changed"
    line(console, f"{would} {change.model}: {in_words(change.before)} → {in_words(change.after)}.")
    tell_settled(console, change.settled)


def tell_settled(console: Console, settled: Settled) -> None:
    """Print how the platform took a change."""
    if settled.follow_s is not None:
        line(console, f"All Bentos that run follow, after {settled.follow_s:.1f} s.")
    if settled.unloaded:
        line(console, f"Unloaded: {', '.join(settled.unloaded)}.")
    for note in settled.notes:
        line(console, note)


def in_words(route: Route | None) -> str:
    """Return a route in words, as in `1 stable, 2 gets 5 %`."""
    if route is None:
        return "no traffic"
    parts = [f"version {route.stable} stable"]
    if route.canary:
        parts.append(f"{route.canary.version} gets {route.canary.percent:g} %")
    if route.shadow is not None:
        parts.append(f"{route.shadow} in the shadow")
    if route.previous is not None:
        parts.append(f"{route.previous} before")
    return ", ".join(parts)


def line(console: Console, text: str) -> None:
    """Print a line as it is."""
    console.print(text, highlight=False, markup=False)


def _tell_retired(console: Console, retired: Retired) -> None:
    what = "retire and delete" if retired.deleted else "retire"
    done = f"Would {what}" if retired.dry_run else "Retired and deleted" if retired.deleted else "Retired"
    line(console, f"{done} {retired.model}:{retired.version}.")
    tell_settled(console, retired.settled)


def _tell_default(console: Console, done: Defaulted) -> None:
    would = "would be" if done.dry_run else "is"
    before = done.before or "none"
    line(console, f"{done.after} {would} asked for {done.modality} where no model is named; before: {before}.")
