"""`bonafide models validate`: whether a version may be rolled out."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from scripts.models.commands.console import EXIT_FAILED, NAME_VERSION, AsJson, answer, repository, settings, telling
from scripts.models.names import Target
from scripts.models.validation import validate as look_at
from scripts.models.validation_report import Report


def validate(target: Annotated[str, typer.Argument(help=NAME_VERSION)], *, as_json: AsJson = False) -> None:
    """Prove a version on a second Triton: files, card, signature, golden answers, batches, latency, memory.

    Example: bonafide models validate image_cnn:1
    """
    with telling(as_json=as_json):
        here = repository()
        model, version = here.resolve(Target.parse(target))
        report = look_at(here, model, version, settings())
    answer(report, as_json=as_json, text=lambda console: _print(console, report))
    if not report.passed:
        raise typer.Exit(EXIT_FAILED)


def _print(console: Console, report: Report) -> None:
    table = Table("check", "", "found")
    for check in report.checks:
        table.add_row(check.name, "ok" if check.passed else "FAILED", check.detail)
    console.print(table, markup=False)
    for each in report.latency:
        console.print(
            f"Batch {each.batch}: median {each.median_ms} ms, p95 {each.p95_ms} ms over {each.calls} calls.",
            highlight=False,
        )
    if report.memory_mb is not None:
        console.print(f"It takes {report.memory_mb} MiB of memory.", highlight=False)
    name = f"{report.model}:{report.version}"
    console.print(f"{name} may be rolled out." if report.passed else f"{name} must not be rolled out.", highlight=False)
