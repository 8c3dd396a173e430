"""`bonafide models rollout`: a share of the callers, a shadow, or step by step by itself."""

from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from scripts.models.auto import AutoRollout, Outcome, Plan
from scripts.models.commands.console import AsJson, DryRun, Reason, answer, load_platform, repository, say, telling
from scripts.models.commands.rolling import (
    Drain,
    Name,
    Number,
    Offline,
    SkipValidation,
    line,
    prove,
    run,
    tell_change,
    tell_settled,
)
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.judging import Bounds
from scripts.models.names import Target
from scripts.models.rollout import DRAIN_DEADLINE_S, Change, Wish, point
from scripts.models.traffic import LAST_STEP_PERCENT, LEAST_PERCENT, with_canary, with_shadow

EXIT_NOT_PROMOTED: Final = 3
EXIT_INTERRUPTED: Final = 130
_PLAN: Final = Plan()
_STEPS: Final = ",".join(f"{step:g}" for step in _PLAN.steps)


class Interrupted(msgspec.Struct, frozen=True, kw_only=True):
    """A roll-out that was interrupted: the share that it stands at (None: no traffic), and the change back, if any."""

    interrupted: bool
    at_percent: float | None
    change: Change | None


def rollout(
    name: Name,
    version: Number,
    *,
    canary: Annotated[
        float | None, typer.Option("--canary", help="Percent of the callers that it answers, each always the same.")
    ] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="It is asked beside the stable one and not heard.")] = False,
    auto: Annotated[bool, typer.Option("--auto", help="Step by step, and back by itself out of bounds.")] = False,
    steps: Annotated[str, typer.Option(help="With --auto: the shares in percent, in order.")] = _STEPS,
    hold: Annotated[
        float, typer.Option(min=0.1, max=604_800, help="With --auto: seconds at each step.")
    ] = _PLAN.hold_s,
    min_calls: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="With --auto: calls that a step needs to be judged.")
    ] = _PLAN.min_calls,
    patience: Annotated[
        float, typer.Option(min=1, max=2_592_000, help="With --auto: seconds to wait for them before it stops there.")
    ] = _PLAN.patience_s,
    max_errors: Annotated[
        float, typer.Option(min=0, max=1, help="With --auto: largest share of failed calls.")
    ] = _PLAN.bounds.errors,
    max_p95_ratio: Annotated[
        float, typer.Option(min=0.1, max=1000, help="With --auto: how many times the stable p95 of inference.")
    ] = _PLAN.bounds.p95_ratio or 0,
    max_psi: Annotated[
        float, typer.Option(min=0, max=100, help="With --auto: largest population stability index of the scores.")
    ] = _PLAN.bounds.psi or 0,
    max_ks: Annotated[
        float | None, typer.Option(min=0, max=1, help="With --auto: largest Kolmogorov-Smirnov distance of the scores.")
    ] = None,
    abort_on_interrupt: Annotated[
        bool, typer.Option("--abort-on-interrupt", help="With --auto: Ctrl-C rolls back, else it stays at its step.")
    ] = False,
    skip_validation: SkipValidation = False,
    offline: Offline = False,
    drain: Drain = DRAIN_DEADLINE_S,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let a version answer some of the callers, or none of them in the shadow, beside the stable one.

    With --auto it ends with status 0 where it was promoted, 3 where it was not.

    Example: bonafide models rollout image_cnn 2 --canary 5
    """
    with telling(as_json=as_json):
        here, model = repository(), Target.parse(name).model
        if [canary is not None, shadow, auto].count(True) != 1:
            raise RefusedError("Say how: --canary PERCENT, --shadow or --auto, one of them.")
        plan = Plan(
            steps=_read_steps(steps),
            hold_s=hold,
            min_calls=min_calls,
            patience_s=patience,
            bounds=Bounds(errors=max_errors, p95_ratio=max_p95_ratio, psi=max_psi, ks=max_ks),
        )
        share = canary if canary is not None else plan.steps[0]
        wish = Wish(
            action="rollout",
            model=model,
            version=version,
            route=lambda route: (
                with_shadow(model, route, version) if shadow else with_canary(model, route, version, share)
            ),
            reason=reason,
            offline=offline,
            dry_run=dry_run,
            drain_s=drain,
        )
        # What the traffic table does not allow is told before anything is started.
        here.folder(model, version)
        wish.route(here.route(model))
        if auto and offline:
            raise RefusedError("--auto judges live calls, so it cannot be --offline.")
        if not dry_run:
            prove(here, model, version, skip=skip_validation, reason=reason)
        if not auto or dry_run:
            change = run(point(here, load_platform(), wish))
            answer(change, as_json=as_json, text=lambda console: tell_change(console, change))
            return
        automatic = AutoRollout(here, load_platform(), model, version, plan, tell=say, reason=reason, drain_s=drain)
        outcome = _run(automatic, abort=abort_on_interrupt)
    if isinstance(outcome, Interrupted):
        answer(outcome, as_json=as_json, text=lambda console: _tell_interrupted(console, f"{model}:{version}", outcome))
        raise typer.Exit(EXIT_INTERRUPTED)
    answer(outcome, as_json=as_json, text=lambda console: _tell(console, f"{model}:{version}", outcome))
    if outcome.end != "promoted":
        raise typer.Exit(EXIT_NOT_PROMOTED)


def _read_steps(text: str) -> tuple[float, ...]:
    """Read shares such as 1,5,25,100. Raises `RefusedError` where they are not ascending percentages."""
    try:
        steps = tuple(float(part) for part in text.split(","))
    except ValueError:
        steps = ()
    if (
        not steps
        or list(steps) != sorted(set(steps))
        or not LEAST_PERCENT <= steps[0] <= steps[-1] <= LAST_STEP_PERCENT
    ):
        raise RefusedError(
            f"--steps are percentages in ascending order with commas between, as {_STEPS}, not {text!r}."
        )
    return steps


def _run(automatic: AutoRollout, *, abort: bool) -> Outcome | Interrupted:
    """Run a roll-out to its end; Ctrl-C and SIGTERM end it where it stands, or with `abort` take it back."""
    try:
        return run(automatic.run())
    except KeyboardInterrupt:
        if automatic.at is None or not abort:
            return Interrupted(interrupted=True, at_percent=automatic.at, change=None)
        change = run(automatic.go_back("The roll-out was interrupted."))
        return Interrupted(interrupted=True, at_percent=None, change=change)
    except ModelsError as error:
        if automatic.at is None:
            raise
        raise type(error)(f"{error} The roll-out stands at {automatic.at:g} % of the callers.") from error


def _tell(console: Console, who: str, outcome: Outcome) -> None:
    words = {"promoted": "is stable now", "rolled_back": "was rolled back", "starved": "stays where it is"}
    line(console, f"{who} {words.get(outcome.end, 'is not rolled out further')}. {outcome.why}")
    if outcome.change is not None:
        tell_settled(console, outcome.change.settled)


def _tell_interrupted(console: Console, who: str, outcome: Interrupted) -> None:
    if outcome.change is not None:
        line(console, f"Interrupted. {who} was rolled back.")
        tell_settled(console, outcome.change.settled)
    elif outcome.at_percent is None:
        line(console, f"Interrupted. {who} is not being rolled out; see: bonafide models show {who}")
    else:
        model = who.partition(":")[0]
        line(console, f"Interrupted. {who} stays at {outcome.at_percent:g} % of the callers.")
        line(console, f"Take it back with: bonafide models rollback {model}")
