"""What the commands on models share: where the repository is, how an answer is printed, how an error is told."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Generator
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console

from bentos.cards import TRAFFIC_FILE
from scripts.models import following
from scripts.models.errors import ModelsError
from scripts.models.repository import Repository
from scripts.models.serving import Platform, locate
from scripts.stack.settings import StackSettings, load_environment, load_settings

EXIT_FAILED: Final = 1

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the history.")]
NAME_VERSION: Final = "NAME, or NAME:VERSION for another than the stable version."


def settings() -> StackSettings:
    """Return the settings of the platform in this checkout or of the environment."""
    return load_settings(load_environment())


def repository() -> Repository:
    """Return the repository that the settings name."""
    return Repository(settings().model_repository)


def load_platform() -> Platform:
    """Return where the running platform of the settings is."""
    environment = load_environment()
    return locate(load_settings(environment), environment)


def say(text: str) -> None:
    """Print what a person reads beside the answer, on standard error."""
    Console(stderr=True, soft_wrap=True).print(text, highlight=False, markup=False)


def wait_heard() -> None:
    """Wait until the running Bentos follow the traffic table, so that what comes next finds it followed; say so."""
    where = repository().root / TRAFFIC_FILE
    say(asyncio.run(following.wait_heard(load_platform(), where)))


def answer(payload: Any, *, as_json: bool, text: Callable[[Console], None]) -> None:
    """Print the answer of a command: `payload` as one line of JSON, or what `text` puts on a console."""
    if as_json:
        print(json.dumps(msgspec.to_builtins(payload)))
    else:
        text(Console(soft_wrap=True))


@contextlib.contextmanager
def telling(*, as_json: bool) -> Generator[None]:
    """End the command with status 1 and a sentence (with `as_json` a JSON object) where a `ModelsError` is raised."""
    try:
        yield
    except ModelsError as error:
        if as_json:
            print(json.dumps({"error": {"code": error.code, "message": str(error)}}))
        else:
            print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_FAILED) from error
