"""`bonafide audit`: check the audit log against its chain, and take it away."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import psycopg
import typer
from rich.console import Console

from gateway.audit.chain import export_line
from gateway.audit.verification import Head, Report, chained_events, verify, verify_export, waiting_events
from scripts.operate.database import with_connection

EXIT_TAMPERED: Final = 1
EXIT_USAGE: Final = 2
_WORDS: Final = {
    "missing": "missing",
    "changed": "not what was written (changed, swapped or forged)",
    "not_the_noted_one": "not the one that was noted",
}

audit = typer.Typer(no_args_is_help=True, add_completion=False, help="Check and export the audit log.")


@audit.command("verify")
def verify_command(
    *,
    head: Annotated[
        str | None,
        typer.Option(help="A head noted earlier (place:hash, as verify and the worker's log tell it)."),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Check an export instead of the database.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Recompute every hash of the audit log and tell where it was tampered with.

    That the last events were cut off can be told only by a head that was noted earlier and elsewhere.

    Exit status: 0 when the log is intact, 1 when it was tampered with, 4 when the database does not answer.
    """
    try:
        noted = None if head is None else Head.parse(head)
        report = _of_export(file, noted) if file else with_connection(lambda database: verify(database, noted=noted))
    except (ValueError, OSError) as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(EXIT_USAGE) from error
    if as_json:
        print(json.dumps(_as_record(report)))
    else:
        _show(report)
    if not report.intact:
        raise typer.Exit(EXIT_TAMPERED)


@audit.command("export")
def export_command(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write. Default: the output.")] = None,
) -> None:
    """Write the whole audit log as JSON lines, oldest first; events that are not chained yet come last."""
    if output is None:
        with_connection(lambda database: _export(database, sys.stdout))
        return
    with output.open("w", encoding="utf-8") as stream:
        count = with_connection(lambda database: _export(database, stream))
    Console(stderr=True, soft_wrap=True).print(f"{count} events written to {output}.", highlight=False)


def _of_export(file: Path, noted: Head | None) -> Report:
    with file.open(encoding="utf-8") as lines:
        return verify_export(lines, noted=noted)


async def _export(database: psycopg.AsyncConnection[Any], stream: TextIO) -> int:
    count = 0
    for events in (chained_events(database), waiting_events(database)):
        async for event in events:
            stream.write(export_line(event) + "\n")
            count += 1
    return count


def _as_record(report: Report) -> dict[str, Any]:
    return {
        "intact": report.intact,
        "events": report.events,
        "unchained": report.unchained,
        "oldest_unchained": report.oldest_unchained.isoformat() if report.oldest_unchained else None,
        "head": str(report.head) if report.head else None,
        "findings": [{"first": one.first, "last": one.last, "wrong": one.wrong} for one in report.findings],
    }


def _show(report: Report) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for one in report.findings:
        places = f"Event {one.first}" if one.first == one.last else f"Events {one.first} to {one.last}"
        console.print(f"[red]{places}: {_WORDS[one.wrong]}.[/]")
    verdict = "[green]Intact[/]" if report.intact else "[red]Tampered with[/]"
    console.print(f"{verdict}: {report.events} chained events, {report.unchained} not chained yet.")
    if report.oldest_unchained is not None:
        console.print(f"The oldest of those is of {report.oldest_unchained:%Y-%m-%d %H:%M:%S %Z}.")
    if report.head is not None:
        console.print(f"Head: {report.head}")
