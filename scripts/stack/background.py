"""Running the platform and telling events of it: to a person, or in the background as JSON lines to the parent."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from scripts.stack.detach import EXIT_ALREADY_RUNNING, EXIT_FAILED
from scripts.stack.display import Changed, Event, EventLines, Failed, Model, Ready, Remark, Stopping
from scripts.stack.folder import DataFolder
from scripts.stack.lifetime import AlreadyRunningError, Listener, live
from scripts.stack.program import StartError
from scripts.stack.settings import StackSettings, load_environment, load_settings


def run(settings: StackSettings, environment: Mapping[str, str], show: Callable[[Event], None]) -> int:
    """Run the platform until it is told to stop; return the exit status."""
    folder = DataFolder(settings.home)
    listener = Listener(
        process=lambda process: show(Changed(process)),
        model=lambda name: show(Model(name)),
        remark=lambda text: show(Remark(text)),
        ready=lambda seconds: show(Ready(seconds, settings.gateway_url, str(folder.api_key))),
        stopping=lambda: show(Stopping()),
    )
    try:
        asyncio.run(live(settings, environment, listener))
    except AlreadyRunningError as error:
        show(Failed(str(error), EXIT_ALREADY_RUNNING))
        return EXIT_ALREADY_RUNNING
    except StartError as error:
        show(Failed(str(error), EXIT_FAILED))
        return EXIT_FAILED
    return 0


def main() -> int:
    """Run as the child of `detach.spawn`."""
    environment = load_environment()
    try:
        settings = load_settings(environment)
    except ValidationError as error:
        EventLines(sys.stdout.buffer)(Failed(str(error), EXIT_FAILED))
        return EXIT_FAILED
    tell = EventLines(sys.stdout.buffer)

    def show(event: Event) -> None:
        tell(event)
        if isinstance(event, Ready):
            # Whoever waited may go; what is still to be said goes to the log.
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    return run(settings, environment, show)


if __name__ == "__main__":
    sys.exit(main())
