"""`bonafide doctor`: what is missing or wrong, in plain words."""

from typing import Final

import typer
from rich.console import Console

from scripts.stack.commands.settings import read_settings
from scripts.stack.doctor import Severity, examine

_EXIT_WRONG: Final = 1


def doctor() -> None:
    """Say in plain words what is missing or wrong. Exit status: 0 when the platform can run, else 1."""
    _, settings = read_settings()
    console = Console()
    marks = {Severity.GOOD: "[green]✓[/]", Severity.WARNING: "[yellow]![/]", Severity.WRONG: "[red]✗[/]"}
    findings = examine(settings)
    for finding in findings:
        console.print(f"{marks[finding.severity]} {finding.text}", highlight=False)
    wrong = sum(finding.severity is Severity.WRONG for finding in findings)
    if wrong:
        console.print(f"\n[red]{wrong} to be mended before the platform can run.[/]")
        raise typer.Exit(_EXIT_WRONG)
