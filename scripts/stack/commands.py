"""The commands `up`, `down`, `status`, `logs` and `doctor`: they read the arguments and say what came of them."""

import contextlib
import os
import signal
import time
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.console import Console

from scripts.stack import background, sessions
from scripts.stack.background import EXIT_FAILED
from scripts.stack.cleaning import clean_up
from scripts.stack.display import Display, Failed, Ready, read_events, status_table
from scripts.stack.doctor import Severity, examine
from scripts.stack.folder import DataFolder
from scripts.stack.logs import follow, last_lines
from scripts.stack.memory import measure
from scripts.stack.settings import StackSettings, load_environment, load_settings
from scripts.stack.state import Phase, StackState, is_locked, lock, read_state

EXIT_USAGE: Final = 2
EXIT_NOT_RUNNING: Final = 4

_STOP_LAYERS: Final = 3
_STOP_SLACK_S: Final = 15
_COLOURS: Final = ("cyan", "magenta", "green", "yellow", "blue", "bright_red", "bright_cyan")


def up(
    *, detach: Annotated[bool, typer.Option("--detach", "-d", help="Go to the background when ready.")] = False
) -> None:
    """Start the platform: Postgres, Triton, the Bentos and the gateway. Ctrl-C stops all of it.

    Exit status: 0 after a stop that was asked for (with --detach: when ready), 1 when it could not be started, 2 when
    a setting is wrong, 3 when it is running already.
    """
    environment, settings = _settings()
    with Display() as display:
        if not detach:
            raise typer.Exit(background.run(settings, environment, display))
        child = background.spawn(settings, environment)
        assert child.stdout  # noqa: S101  # It was asked for.
        try:
            for event in read_events(child.stdout):
                display(event)
                if isinstance(event, Ready):
                    return
                if isinstance(event, Failed):
                    raise typer.Exit(event.code)
        except KeyboardInterrupt:
            child.terminate()
            raise typer.Exit(child.wait()) from None
        display(Failed(f"The platform ended before it was ready; see {settings.home / 'logs'}.", EXIT_FAILED))
        raise typer.Exit(EXIT_FAILED)


def down() -> None:
    """Stop the platform and leave nothing of it running. Exit status: 0 when nothing runs any more, else 1."""
    _, settings = _settings()
    folder = DataFolder(settings.home)
    console = Console()
    until = time.monotonic() + _STOP_LAYERS * settings.stop_deadline_s + _STOP_SLACK_S
    if not is_locked(folder):
        with lock(folder) if folder.run.is_dir() else contextlib.nullcontext():
            words = clean_up(folder) if read_state(folder) else ["nothing was running"]
        console.print("Stopped" + (f" ({', '.join(words)})." if words else "."))
        return
    state = read_state(folder)
    if state and sessions.is_same(state.pid, state.created_at):
        try:
            os.kill(state.pid, signal.SIGTERM)
        except PermissionError:
            console.print(f"[red]Process {state.pid} belongs to another user: stop it as that user.[/]")
            raise typer.Exit(EXIT_FAILED) from None
    with console.status("Stopping …"):
        while is_locked(folder):
            if time.monotonic() > until:
                console.print(f"[red]It has not stopped in time; see {folder.logs / 'guard.log'}.[/]")
                raise typer.Exit(EXIT_FAILED)
            time.sleep(0.05)
    console.print("Stopped.")


def status() -> None:
    """Show what runs and how much memory it takes.

    Exit status: 0 when every process is ready, 1 when one is not, 4 when the platform does not run.
    """
    _, settings = _settings()
    state = _running(settings)
    memory = measure(state)
    console = Console()
    console.print(status_table(list(state.processes.values()), memory))
    phases = {process.phase for process in state.processes.values()}
    if phases != {Phase.READY}:
        raise typer.Exit(EXIT_FAILED)
    console.print(f"\nReady at {state.url}")


def logs(
    process: Annotated[str | None, typer.Argument(help="One process, as `bonafide status` names it.")] = None,
    *,
    follow_on: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Lines to show of each log.")] = 40,
) -> None:
    """Show the end of the logs of all processes, or of one."""
    _, settings = _settings()
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


def doctor() -> None:
    """Say in plain words what is missing or wrong. Exit status: 0 when the platform can run, else 1."""
    _, settings = _settings()
    console = Console()
    marks = {Severity.GOOD: "[green]✓[/]", Severity.WARNING: "[yellow]![/]", Severity.WRONG: "[red]✗[/]"}
    findings = examine(settings)
    for finding in findings:
        console.print(f"{marks[finding.severity]} {finding.text}", highlight=False)
    wrong = sum(finding.severity is Severity.WRONG for finding in findings)
    if wrong:
        console.print(f"\n[red]{wrong} to be mended before the platform can run.[/]")
        raise typer.Exit(EXIT_FAILED)


def _settings() -> tuple[dict[str, str], StackSettings]:
    environment = load_environment()
    try:
        return environment, load_settings(environment)
    except ValidationError as error:
        console = Console(stderr=True)
        for problem in error.errors():
            variable = "BONAFIDE_" + "_".join(str(part) for part in problem["loc"]).upper()
            console.print(f"[red]{variable}: {problem['msg']} (it is {problem['input']!r}).[/]", highlight=False)
        raise typer.Exit(EXIT_USAGE) from error


def _running(settings: StackSettings) -> StackState:
    state = read_state(DataFolder(settings.home))
    if state is None or not sessions.is_same(state.pid, state.created_at):
        Console().print("Not running. Start it with `bonafide up`.")
        raise typer.Exit(EXIT_NOT_RUNNING)
    return state
