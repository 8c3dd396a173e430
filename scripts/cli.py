"""The command `bonafide`: a tree of commands, each in a module that is imported when it is asked for."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

COMMANDS: Final = {
    "up": ("scripts.stack.commands.up", "up"),
    "down": ("scripts.stack.commands.down", "down"),
    "status": ("scripts.stack.commands.status", "status"),
    "logs": ("scripts.stack.commands.logs", "logs"),
    "doctor": ("scripts.stack.commands.doctor", "doctor"),
    "admin": ("scripts.operate.admin", "admin"),
    "audit": ("scripts.operate.audit", "audit"),
    "mail": ("scripts.operate.mail", "mail"),
    "detect": ("scripts.detect.command", "detect_command"),
    "bench": ("scripts.bench.command", "bench_command"),
}
"""Name of a command, the module it is in, and its function there (or a `typer.Typer` for a tree of its own)."""


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are called, so that none waits for another's libraries."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command; None where there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command: typer.Typer | Callable[..., None] = getattr(import_module(module), attribute)
        if not isinstance(command, typer.Typer):
            tree = typer.Typer(add_completion=False)
            tree.command(cmd_name)(command)
            command = tree
        found = get_command(command)
        found.name = cmd_name
        return found


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False)


@app.callback()
def bonafide() -> None:
    """Tell genuine media from synthetic media, on your own machine."""


def main() -> None:
    """Entry point of the installed command."""
    app(prog_name="bonafide")
