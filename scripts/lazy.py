"""Groups of commands whose modules are imported when they are called, so that none waits for another's libraries."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

Commands = Mapping[str, tuple[str, str]]
"""Name of a command, the module it is in, and its function there (or a `typer.Typer` for a tree of its own)."""


def lazy_group(commands: Commands) -> type[TyperGroup]:
    """Return the class of a group that has these commands, in this order."""

    class LazyGroup(TyperGroup):
        """A group that imports a command when it is called."""

        def list_commands(self, ctx: Any) -> list[str]:
            """Return the names in the order of the table."""
            del ctx
            return list(commands)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            """Import a command; None where there is none of that name."""
            del ctx
            if cmd_name not in commands:
                return None
            module, attribute = commands[cmd_name]
            command: typer.Typer | Callable[..., None] = getattr(import_module(module), attribute)
            if not isinstance(command, typer.Typer):
                tree = typer.Typer(add_completion=False)
                tree.command(cmd_name)(command)
                command = tree
            found = get_command(command)
            found.name = cmd_name
            return found

    return LazyGroup
