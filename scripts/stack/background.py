"""The platform in the background: the same life, told as JSON lines to `bonafide up --detach` until it is ready."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Final

from pydantic import ValidationError

from scripts.stack.display import Changed, Event, EventLines, Failed, Model, Ready, Remark, Stopping
from scripts.stack.folder import DataFolder
from scripts.stack.lifetime import AlreadyRunningError, Listener, live
from scripts.stack.program import StartError
from scripts.stack.settings import CHECKOUT, StackSettings, load_environment, load_settings

EXIT_FAILED: Final = 1
EXIT_ALREADY_RUNNING: Final = 3

_LOG: Final = "up.log"


def run(settings: StackSettings, environment: Mapping[str, str], show: Callable[[Event], None]) -> int:
    """Run the platform until it is told to stop; return the exit status."""
    # It would complain about every process that we start beside its threads.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
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


def spawn(settings: StackSettings, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the platform in a session of its own; `stdout` tells events and closes when it is ready or has failed."""
    folder = DataFolder(settings.home)
    folder.create()
    with (folder.logs / _LOG).open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", __name__],
            env=dict(environment),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )


def main() -> int:
    """Run as the child of `spawn`."""
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
