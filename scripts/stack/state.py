"""What a running platform writes down about itself, for `status`, `down`, the guard and the next `up` to read."""

import contextlib
import fcntl
import os
from collections.abc import Generator
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from scripts.stack.folder import DataFolder, write_private
from scripts.stack.sessions import Family, mark_of

_STATE_FILE: Final = "state.json"
_LOCK_FILE: Final = "lock"


class Phase(StrEnum):
    """Where a process is on its way."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"


class ProcessState(msgspec.Struct, frozen=True, kw_only=True):
    """One process: its number and creation time (seconds since the epoch) while it lives, and how it is stopped."""

    name: str
    phase: Phase = Phase.WAITING
    pid: int = 0
    created_at: float = 0
    ready_after_s: float = 0
    restarts: int = 0
    detail: str = ""
    stop_signal: int
    grace_s: float
    layer: int


class StackState(msgspec.Struct, frozen=True, kw_only=True):
    """A run: who supervises it and what belongs to it."""

    run_id: str
    pid: int
    created_at: float
    url: str
    shared_memory_prefix: str
    ready: bool = False
    processes: dict[str, ProcessState] = {}

    def family(self, name: str) -> Family:
        """Return all the processes of a program, by its name."""
        process = self.processes[name]
        return Family(process.pid, process.created_at, mark_of(self.run_id, name))


def write_state(folder: DataFolder, state: StackState) -> None:
    """Replace the state file."""
    write_private(folder.run / _STATE_FILE, msgspec.json.encode(state).decode())


def read_state(folder: DataFolder) -> StackState | None:
    """Return the state of the last run that was not cleaned up, or None."""
    try:
        return msgspec.json.decode((folder.run / _STATE_FILE).read_bytes(), type=StackState)
    except FileNotFoundError:
        return None


def forget_state(folder: DataFolder) -> None:
    """Remove the state file: nothing of the run is left."""
    (folder.run / _STATE_FILE).unlink(missing_ok=True)


class LockedError(Exception):
    """Another process holds the data folder."""


@contextlib.contextmanager
def lock(folder: DataFolder) -> Generator[int]:
    """Hold the data folder; yields the descriptor, for the guard to inherit: the lock lasts while either lives.

    Raises:
        LockedError: A platform runs in it, or its guard is still cleaning up after one.
    """
    descriptor = os.open(folder.run / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError from error
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(folder: DataFolder) -> bool:
    """Tell whether a platform or its guard holds the data folder."""
    if not Path(folder.run).is_dir():
        return False
    try:
        with lock(folder):
            return False
    except LockedError:
        return True
