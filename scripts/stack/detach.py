"""Sending the platform to the background, without the libraries that only the platform itself needs."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scripts.stack.folder import DataFolder
from scripts.stack.settings import CHECKOUT, StackSettings

EXIT_FAILED: Final = 1
EXIT_ALREADY_RUNNING: Final = 3

_MODULE: Final = "scripts.stack.background"
_LOG: Final = "up.log"


def log_of(settings: StackSettings) -> Path:
    """Return the log of the process in the background."""
    return DataFolder(settings.home).logs / _LOG


def spawn(settings: StackSettings, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the platform in a session of its own; `stdout` tells events and closes when it is ready or has failed."""
    DataFolder(settings.home).create()
    with log_of(settings).open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            env=dict(environment),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
