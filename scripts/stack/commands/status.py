"""`bonafide status`: what runs, since how many restarts, and how much memory it takes."""

from typing import Final

import typer
from rich.console import Console

from scripts.stack import sessions
from scripts.stack.commands.settings import read_settings
from scripts.stack.display import status_table
from scripts.stack.folder import DataFolder
from scripts.stack.memory import measure
from scripts.stack.settings import StackSettings
from scripts.stack.state import Phase, StackState, read_state

_EXIT_NOT_READY: Final = 1
_EXIT_NOT_RUNNING: Final = 4


def status() -> None:
    """Show what runs and how much memory it takes.

    Exit status: 0 when every process is ready, 1 when one is not, 4 when the platform does not run.
    """
    _, settings = read_settings()
    state = _running(settings)
    memory = measure(state, {"up": state.pid})
    console = Console()
    console.print(status_table(list(state.processes.values()), memory))
    phases = {process.phase for process in state.processes.values()}
    if phases != {Phase.READY}:
        raise typer.Exit(_EXIT_NOT_READY)
    console.print(f"\nReady at {state.url}")


def _running(settings: StackSettings) -> StackState:
    state = read_state(DataFolder(settings.home))
    if state is None or not sessions.is_same(state.pid, state.created_at):
        Console().print("Not running. Start it with `bonafide up`.")
        raise typer.Exit(_EXIT_NOT_RUNNING)
    return state
