"""The settings of a command; a wrong one is told in a sentence."""

from typing import Final

import typer
from pydantic import ValidationError
from rich.console import Console

from scripts.stack.settings import StackSettings, load_environment, load_settings

EXIT_USAGE: Final = 2


def read_settings() -> tuple[dict[str, str], StackSettings]:
    """Return the environment, with `.env`, and the settings in it. Exits with 2 where one is wrong."""
    environment = load_environment()
    try:
        return environment, load_settings(environment)
    except ValidationError as error:
        console = Console(stderr=True)
        for problem in error.errors():
            variable = "BONAFIDE_" + "_".join(str(part) for part in problem["loc"]).upper()
            console.print(f"[red]{variable}: {problem['msg']} (it is {problem['input']!r}).[/]", highlight=False)
        raise typer.Exit(EXIT_USAGE) from error
