"""`bonafide up`: start the platform, in the foreground or in the background."""

from typing import Annotated, Final

import typer

from scripts.stack.commands.settings import read_settings
from scripts.stack.detach import EXIT_FAILED, log_of, spawn
from scripts.stack.display import Display, Failed, Ready, read_events
from scripts.stack.logs import last_lines

_LOG_LINES: Final = 15


def up(
    *, detach: Annotated[bool, typer.Option("--detach", "-d", help="Go to the background when ready.")] = False
) -> None:
    """Start the platform: Postgres, Triton, the Bentos, the gateway and the worker. Ctrl-C stops all of it.

    Exit status: 0 after a stop that was asked for (with --detach: when ready), 1 when it could not be started, 2 when
    a setting is wrong, 3 when it is running already.
    """
    environment, settings = read_settings()
    with Display() as display:
        if not detach:
            # A second of imports, which a parent that only waits need not spend.
            from scripts.stack.background import run  # noqa: PLC0415

            raise typer.Exit(run(settings, environment, display))
        child = spawn(settings, environment)
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
        words = "\n  ".join(["The platform ended before it was ready.", *last_lines(log_of(settings), _LOG_LINES)])
        display(Failed(words, EXIT_FAILED))
        raise typer.Exit(EXIT_FAILED)
