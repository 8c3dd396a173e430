"""The command `bonafide`: a tree of commands, each in a module that is imported when it is asked for."""

from typing import Final

import typer

from scripts.lazy import Commands, lazy_group

COMMANDS: Final[Commands] = {
    "up": ("scripts.stack.commands.up", "up"),
    "down": ("scripts.stack.commands.down", "down"),
    "status": ("scripts.stack.commands.status", "status"),
    "logs": ("scripts.stack.commands.logs", "logs"),
    "doctor": ("scripts.stack.commands.doctor", "doctor"),
    "admin": ("scripts.operate.admin", "admin"),
    "audit": ("scripts.operate.audit", "audit"),
    "mail": ("scripts.operate.mail", "mail"),
    "detect": ("scripts.detect.command", "detect_command"),
    "models": ("scripts.models.commands", "models"),
    "bench": ("scripts.bench.command", "bench_command"),
}


app = typer.Typer(cls=lazy_group(COMMANDS), no_args_is_help=True, add_completion=False)


@app.callback()
def bonafide() -> None:
    """Tell genuine media from synthetic media, on your own machine."""


def main() -> None:
    """Entry point of the installed command."""
    app(prog_name="bonafide")
