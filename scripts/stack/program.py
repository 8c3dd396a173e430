"""What a process of the platform is: how it starts, when it is ready, how it is asked to stop."""

import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

RUN_VARIABLE: Final = "BONAFIDE_RUN"
"""Set in every process of the platform to the id of its run, so that whatever it starts can be told from others."""


class NotReadyError(Exception):
    """The process does not answer yet."""


class StartError(Exception):
    """The process cannot be started, or did not become ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The operating-system user that a process runs as."""

    name: str
    uid: int
    gid: int


async def _nothing() -> None:
    """Do nothing: the default of optional steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process. `probe` raises `NotReadyError` until the process answers.

    `prepare` runs before each start and `activate` after each first answer; either may raise `StartError`. `after`
    names what must be ready first. `stop_signal` goes to the process itself; what is left of its session after
    `grace_s` seconds is killed. Processes of a higher `layer` are stopped before those of a lower one.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    probe: Callable[[], Awaitable[None]]
    prepare: Callable[[], Awaitable[None]] = field(default=_nothing)
    activate: Callable[[], Awaitable[None]] = field(default=_nothing)
    after: tuple[str, ...] = ()
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10
    layer: int = 0
    folder: Path | None = None


def spawn(program: Program, *, log: Path, run_id: str) -> subprocess.Popen[bytes]:
    """Start the process in a session of its own, with both outputs appended to `log`.

    Raises:
        StartError: Its executable is missing or may not be run.
    """
    environment = {**program.environment, RUN_VARIABLE: run_id}
    account = program.account
    with log.open("ab") as output:
        try:
            return subprocess.Popen(
                program.command,
                env=environment,
                cwd=program.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account and os.geteuid() == 0 else None,
            )
        except OSError as error:
            raise StartError(f"{program.name} cannot be started: {error}") from error
