"""`bonafide models evaluate`, `calibrate` and `compare`: what versions are worth on labelled media."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from scripts.models.commands.console import (
    NAME_VERSION,
    AsJson,
    DryRun,
    Reason,
    answer,
    repository,
    say,
    settings,
    telling,
)
from scripts.models.errors import ModelsError
from scripts.models.evaluation.comparing import (
    Comparison,
    conclusion,
    difference_rows,
    side_rows,
    to_markdown,
)
from scripts.models.evaluation.comparing import compare as over_both
from scripts.models.evaluation.figures import SEED
from scripts.models.evaluation.judging import CALLS_AT_ONCE, Unjudged
from scripts.models.evaluation.labelled import read_labelled
from scripts.models.evaluation.measuring import evaluate as measure
from scripts.models.evaluation.measuring import keep, write_report
from scripts.models.evaluation.report import Evaluation, figure_rows, list_unjudged, speed_of
from scripts.models.importing.training import load
from scripts.models.names import Target

Data = Annotated[
    Path,
    typer.Option("--data", help="A folder with real/ and fake/ in it, or a CSV with the columns path and label."),
]
SetName = Annotated[str | None, typer.Option("--name", help="What the report calls the set; by default as its folder.")]
AtOnce = Annotated[int, typer.Option("--at-once", min=1, max=64, help="How many media are judged at the same time.")]
_EVERY: Final = 50
_MOST_FLIPS: Final = 20


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The report, and the folder that it was written to, if it was."""

    report: Evaluation
    folder: str | None


def evaluate(
    target: Annotated[str, typer.Argument(help=NAME_VERSION)],
    *,
    data: Data,
    name: SetName = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", file_okay=False, help="Write the report there and leave repository and card alone."),
    ] = None,
    at_once: AtOnce = CALLS_AT_ONCE,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Measure a version on labelled media, through the real serving path on a stand of its own.

    The report goes beside the weights, and its figures into the card; with --dry-run it is made and not kept.

    Example: bonafide models evaluate image_cnn:1 --data my_faces
    """
    with telling(as_json=as_json):
        here = repository()
        version = here.resolve(Target.parse(target))
        labelled = read_labelled(data, name=name)
        evaluated = measure(here, version, labelled, settings(), at_once=at_once, tell=progress())
        folder = None
        if out is not None and not dry_run:
            folder = _written(out, f"{evaluated.report.created[:10]}-{labelled.name}", evaluated.files)
        elif not dry_run:
            folder = keep(here, evaluated)
    outcome = Outcome(report=evaluated.report, folder=str(folder) if folder else None)
    answer(outcome, as_json=as_json, text=lambda console: _print(console, outcome))


def calibrate(
    target: Annotated[str, typer.Argument(help=NAME_VERSION)],
    *,
    data: Data,
    name: SetName = None,
    max_fpr: Annotated[
        float, typer.Option("--max-fpr", min=0, max=0.5, help="Largest share of genuine media called FAKE.")
    ] = 0.01,
    max_fnr: Annotated[
        float, typer.Option("--max-fnr", min=0, max=0.5, help="Largest share of fakes called REAL.")
    ] = 0.05,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the half that is fitted to.")] = SEED,
    at_once: AtOnce = CALLS_AT_ONCE,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Fit temperature and thresholds to one half of a set, report on the other, and stage it as a new version.

    Example: bonafide models calibrate image_cnn:1 --data my_faces --max-fpr 0.01
    """
    with telling(as_json=as_json):
        fitting = load("scripts.models.evaluation.calibrating")
        here = repository()
        version = here.resolve(Target.parse(target))
        labelled = read_labelled(data, name=name)
        wish = fitting.Wish(max_fpr=max_fpr, max_fnr=max_fnr, seed=seed, reason=reason, dry_run=dry_run)
        report = fitting.calibrate(here, version, labelled, settings(), wish, at_once=at_once, tell=progress())
    answer(report, as_json=as_json, text=lambda console: _print_calibrated(console, report, fitting.rows_of(report)))


def compare(
    first: Annotated[str, typer.Argument(help=NAME_VERSION)],
    second: Annotated[str, typer.Argument(help=NAME_VERSION)],
    *,
    data: Data,
    name: SetName = None,
    out: Annotated[
        Path | None, typer.Option("--out", file_okay=False, help="Folder to write the comparison to, too.")
    ] = None,
    at_once: AtOnce = CALLS_AT_ONCE,
    as_json: AsJson = False,
) -> None:
    """Have two versions, of one model or of two, judge the same media, and say whether the difference is chance.

    Example: bonafide models compare image_cnn:1 image_cnn:2 --data my_faces
    """
    with telling(as_json=as_json):
        here = repository()
        one, other = (here.resolve(Target.parse(each)) for each in (first, second))
        labelled = read_labelled(data, name=name)
        report = over_both(here, one, other, labelled, settings(), at_once=at_once, tell=progress())
        folder = _write_comparison(report, out) if out is not None else None
    answer(report, as_json=as_json, text=lambda console: _print_comparison(console, report, folder))


def _write_comparison(report: Comparison, out: Path) -> Path:
    files = {
        "comparison.json": msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n",
        "comparison.md": to_markdown(report).encode(),
    }
    names = "-".join(f"{side.model}-{side.version}" for side in (report.first, report.second))
    return _written(out, f"{report.created[:10]}-{names}-{report.set.name}", files)


def _written(out: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Write a report to a folder of the user's. Raises `ModelsError` where that cannot be done."""
    try:
        return write_report(out, name, files)
    except OSError as error:
        raise ModelsError(f"The report could not be written to {out}: {error.strerror}.") from error


def progress() -> Callable[[int, int], None]:
    """Return what says on standard error how far a set is, now and then."""

    def tell(done: int, of: int) -> None:
        if done == of or done % _EVERY == 0:
            say(f"{done} of {of} media judged")

    return tell


def _print(console: Console, outcome: Outcome) -> None:
    report = outcome.report
    console.print(
        f"{report.model}:{report.version} on {report.set.name}: {report.set.real} genuine media, "
        f"{report.set.fake} fakes.",
        highlight=False,
        markup=False,
    )
    _table(console, ("figure", "value", "95 % interval"), figure_rows(report.figures))
    console.print(speed_of(report.speed), highlight=False)
    _print_unjudged(console, report.unjudged)
    if outcome.folder:
        console.print(f"The report is in {outcome.folder}.", highlight=False, markup=False)


def _print_calibrated(console: Console, report: Any, rows: Sequence[Sequence[str]]) -> None:
    done = "Would stage" if report.dry_run else "Staged"
    console.print(
        f"{done} {report.model}:{report.version}: {report.model}:{report.derived_from} with temperature "
        f"{report.temperature:g} and thresholds {report.after.low:g} and {report.after.high:g}, fitted to "
        f"{report.fitted} media. On the others:",
        highlight=False,
        markup=False,
    )
    _table(console, ("figure", "before", "after", "95 % interval"), rows)
    for note in report.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)
    _print_unjudged(console, report.unjudged)
    if not report.dry_run:
        console.print(f"Next: bonafide models validate {report.model}:{report.version}", highlight=False)


def _print_comparison(console: Console, report: Comparison, folder: Path | None) -> None:
    first, second = report.first.name, report.second.name
    _table(console, ("figure", first, second), side_rows(report))
    console.print(conclusion(report), highlight=False)
    _table(console, (f"{second} minus {first}", "difference", "95 % interval"), difference_rows(report))
    console.print(
        f"{len(report.flips)} of {report.set.real + report.set.fake} media got other verdicts.", highlight=False
    )
    for flip in report.flips[:_MOST_FLIPS]:
        console.print(
            f"- {flip.name} ({flip.label}): {flip.first} {flip.first_p_fake} -> {flip.second} {flip.second_p_fake}",
            highlight=False,
            markup=False,
        )
    _print_unjudged(console, report.unjudged)
    if folder:
        console.print(f"The comparison is in {folder}.", highlight=False, markup=False)


def _print_unjudged(console: Console, unjudged: Sequence[Unjudged]) -> None:
    if unjudged:
        console.print(f"{len(unjudged)} media could not be judged:", highlight=False)
        for line in list_unjudged(unjudged):
            console.print(line, highlight=False, markup=False)


def _table(console: Console, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    console.print(table)
