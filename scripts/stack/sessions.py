"""Finding and ending everything that a process of the platform started, whoever its parent is by now."""

import contextlib
import os
import signal
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from scripts.stack.program import RUN_VARIABLE

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # Where the C library, and so Triton, puts it.

_POLL_S: Final = 0.03
_NO_SESSION: Final = -1
_KILL_DEADLINE_S: Final = 5
_CLOCK_SLACK_S: Final = 1.0


def created(pid: int) -> float | None:
    """Return when a process was created, in seconds since the epoch, or None where it is gone or a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def is_same(pid: int, created_at: float) -> bool:
    """Tell whether the process of that number is still the one that was created then."""
    now = created(pid)
    return now is not None and abs(now - created_at) < _CLOCK_SLACK_S


@dataclass(frozen=True, slots=True)
class Family:
    """A program's process and all that it has started, whatever sessions and parents those have by now.

    They are known by the session that `leader` (created at `created_at`, seconds since the epoch) opened, by the
    `mark` in their environment, and by the sessions of those that carry it: some daemons open sessions of their own,
    others overwrite their environment or give their children none.
    """

    leader: int
    created_at: float
    mark: str

    def living(self) -> list[psutil.Process]:
        """Return those that live."""
        found = {process.pid: process for process in marked(self.mark)}
        sessions = {_session_of(pid) for pid in found} - {os.getsid(0), _NO_SESSION}
        if created(self.leader) is None or is_same(self.leader, self.created_at):
            # The number of a session cannot pass to others while one of its members lives.
            sessions.add(self.leader)
        found |= {process.pid: process for process in _living() if _session_of(process.pid) in sessions}
        return list(found.values())


def mark_of(run_id: str, name: str) -> str:
    """Return the mark of a program in a run; the id of the run alone is the mark of all its programs."""
    return f"{run_id}/{name}"


def marked(mark: str) -> list[psutil.Process]:
    """Return the living processes with a mark, but this one."""
    wanted = f"{RUN_VARIABLE}={mark}".encode()
    found = []
    for process in _living():
        with contextlib.suppress(OSError):  # It has ended meanwhile, or is another user's.
            variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            is_marked = any(each == wanted or each.startswith(wanted + b"/") for each in variables)
            if is_marked and process.pid != os.getpid():
                found.append(process)
    return found


def end(family: Family, *, stop_signal: signal.Signals, grace_s: float) -> None:
    """Ask the first of a family to stop, then those it leaves behind; kill what is left after `grace_s` seconds."""
    deadline = time.monotonic() + grace_s
    if is_same(family.leader, family.created_at):
        send([psutil.Process(family.leader)], stop_signal)
        while is_same(family.leader, family.created_at) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    send(family.living(), signal.SIGTERM)
    while (left := family.living()) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    kill(left)


def kill(processes: Collection[psutil.Process]) -> None:
    """Kill processes and wait until they are gone."""
    send(processes, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_DEADLINE_S
    while time.monotonic() < deadline and any(created(process.pid) is not None for process in processes):
        time.sleep(_POLL_S)


def send(processes: Collection[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to those that still live. psutil checks first that a number was not given to another process."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def sweep_shared_memory(prefix: str, folder: Path = SHARED_MEMORY) -> list[str]:
    """Remove the shared-memory regions whose names begin with a prefix of ours; return their names."""
    if not prefix.startswith("bonafide"):
        raise ValueError(f"{prefix} is not a prefix of ours.")
    swept = []
    for region in folder.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)
        swept.append(region.name)
    return swept


def _living() -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return _NO_SESSION
