"""Finding and ending everything that a process of the platform started, whoever its parent is by now."""

import contextlib
import os
import signal
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import psutil

from scripts.stack.program import RUN_VARIABLE

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # Where the C library, and so Triton, puts it.

_POLL_S: Final = 0.02
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


def session(leader: int, created_at: float) -> list[psutil.Process]:
    """Return the living processes of a session. Its number cannot pass to others while one of them lives."""
    now = created(leader)
    if now is not None and abs(now - created_at) >= _CLOCK_SLACK_S:
        return []
    return [process for process in _living() if _session_of(process.pid) == leader]


def marked(run_id: str) -> list[psutil.Process]:
    """Return the living processes of a run by their environment, but this one."""
    marker = f"{RUN_VARIABLE}={run_id}".encode()
    found = []
    for process in _living():
        with contextlib.suppress(OSError):  # It has ended meanwhile, or is another user's.
            if process.pid != os.getpid() and marker in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
                found.append(process)
    return found


def end(leader: int, created_at: float, *, stop_signal: signal.Signals, grace_s: float) -> None:
    """Ask a session's leader to stop, then those that it leaves behind; kill what is left after `grace_s` seconds."""
    deadline = time.monotonic() + grace_s
    if is_same(leader, created_at):
        send([psutil.Process(leader)], stop_signal)
        while is_same(leader, created_at) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    send(session(leader, created_at), signal.SIGTERM)
    while session(leader, created_at) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    kill(session(leader, created_at))


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
        return -1
