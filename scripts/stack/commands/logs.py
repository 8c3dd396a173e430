"""`bonafide logs`: the end of the logs, of one process or of all, and what is written from now on."""

import contextlib
from typing import Annotated, Final

import typer
from rich.console import Console

from scripts.stack.commands.settings import EXIT_USAGE, read_settings
from scripts.stack.folder import DataFolder
from scripts.stack.logs import follow, last_lines

_COLOURS: Final = ("cyan", "magenta", "green", "yellow", "blue", "bright_red", "bright_cyan")


def logs(
    process: Annotated[str | None, typer.Argument(help="One process, as `bonafide status` names it.")] = None,
    *,
    follow_on: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Lines to show of each log.")] = 40,
) -> None:
    """Show the end of the logs of all processes, or of one."""
    _, settings = read_settings()
    folder = DataFolder(settings.home)
    found = {log.stem: log for log in sorted(folder.logs.glob("*.log"))} if folder.logs.is_dir() else {}
    if process is not None and process not in found:
        Console(stderr=True).print(f"[red]No log of {process}. There are: {', '.join(found) or 'none yet'}.[/]")
        raise typer.Exit(EXIT_USAGE)
    chosen = {process: found[process]} if process else found
    width = max((len(name) for name in chosen), default=0)
    console = Console(soft_wrap=True, highlight=False)

    def show(name: str, line: str) -> None:
        if process is None:
            colour = _COLOURS[list(found).index(name) % len(_COLOURS)]
            console.print(f"{name:<{width}} │ ", style=colour, end="")
        console.print(line, markup=False)

    for name, log in chosen.items():
        for line in last_lines(log, lines):
            show(name, line)
    if follow_on:
        with contextlib.suppress(KeyboardInterrupt):
            for log, line in follow(list(chosen.values())):
                show(log.stem, line)
