"""`bonafide models evaluate`: what a version is worth on labelled media."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from scripts.models.commands.console import NAME_VERSION, AsJson, DryRun, answer, repository, say, settings, telling
from scripts.models.evaluation.judging import CALLS_AT_ONCE
from scripts.models.evaluation.labelled import read_labelled
from scripts.models.evaluation.measuring import evaluate as measure
from scripts.models.evaluation.measuring import keep, write_report
from scripts.models.evaluation.report import Evaluation, figure_rows, list_unjudged, speed_of
from scripts.models.names import Target

Data = Annotated[
    Path,
    typer.Option("--data", help="A folder with real/ and fake/ in it, or a CSV with the columns path and label."),
]
SetName = Annotated[str | None, typer.Option("--name", help="What the report calls the set; by default as its folder.")]
AtOnce = Annotated[int, typer.Option("--at-once", min=1, max=64, help="How many media are judged at the same time.")]
_EVERY: Final = 50


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
            folder = write_report(out, f"{evaluated.report.created[:10]}-{labelled.name}", evaluated.files)
        elif not dry_run:
            folder = keep(here, evaluated)
    outcome = Outcome(report=evaluated.report, folder=str(folder) if folder else None)
    answer(outcome, as_json=as_json, text=lambda console: _print(console, outcome))


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
    table = Table("figure", "value", "95 % interval")
    for row in figure_rows(report.figures):
        table.add_row(*row)
    console.print(table)
    console.print(speed_of(report.speed), highlight=False)
    if report.unjudged:
        console.print(f"{len(report.unjudged)} media could not be judged:", highlight=False)
        for line in list_unjudged(report.unjudged):
            console.print(line, highlight=False, markup=False)
    if outcome.folder:
        console.print(f"The report is in {outcome.folder}.", highlight=False, markup=False)
