"""`bonafide down`: stop the platform, or clean up after one that has crashed."""

import contextlib
import os
import signal
import time
from typing import Final

import typer
from rich.console import Console

from scripts.stack import sessions
from scripts.stack.cleaning import clean_up
from scripts.stack.commands.settings import read_settings
from scripts.stack.folder import DataFolder
from scripts.stack.state import is_locked, lock, read_state

_EXIT_FAILED: Final = 1
_STOP_LAYERS: Final = 3
_STOP_SLACK_S: Final = 15


def down() -> None:
    """Stop the platform and leave nothing of it running. Exit status: 0 when nothing runs any more, else 1."""
    _, settings = read_settings()
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
            raise typer.Exit(_EXIT_FAILED) from None
    with console.status("Stopping …"):
        # The lock says that nothing of the platform runs any more, and its own process has yet to end.
        while is_locked(folder) or (state and sessions.is_same(state.pid, state.created_at)):
            if time.monotonic() > until:
                console.print(f"[red]It has not stopped in time; see {folder.logs / 'guard.log'}.[/]")
                raise typer.Exit(_EXIT_FAILED)
            time.sleep(0.05)
    console.print("Stopped.")
