"""What a process of the platform is: how it starts, when it is ready, how it is asked to stop."""

import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

RUN_VARIABLE: Final = "BONAFIDE_RUN"
"""Set in every process of the platform to the mark of its program, so that whatever it starts can be told by it."""


_BECOME: Final = """
import os, sys
uid, gid, *command = sys.argv[1:]
os.setgroups([])
os.setgid(int(gid))
os.setuid(int(uid))
os.execv(command[0], command)
"""


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

    def command(self, command: Sequence[str]) -> tuple[str, ...]:
        """Return a command that becomes this user and then runs another, whose first word is a path.

        `subprocess` could change the user itself, but then it forks instead of using vfork, and gRPC, which has its
        threads in our process, starts some in the fork as well, which now and then crash it.
        """
        return (sys.executable, "-I", "-S", "-c", _BECOME, str(self.uid), str(self.gid), *command)


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


def spawn(program: Program, *, log: Path, mark: str) -> subprocess.Popen[bytes]:
    """Start the process, marked, in a session of its own, with both outputs appended to `log`.

    Raises:
        StartError: Its executable is missing or may not be run.
    """
    environment = {**program.environment, RUN_VARIABLE: mark}
    command = program.account.command(program.command) if program.account else program.command
    with log.open("ab") as output:
        try:
            return subprocess.Popen(
                command,
                env=environment,
                cwd=program.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise StartError(f"{program.name} cannot be started: {error}") from error
