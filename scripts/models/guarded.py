"""Runs programs for the length of a block of ours, under the guard of the platform, so that none outlives it."""

import asyncio
import contextlib
import os
import secrets
import subprocess
from typing import Final

import msgspec

from scripts.stack import sessions
from scripts.stack.cleaning import clean_up
from scripts.stack.folder import DataFolder
from scripts.stack.guard import start_guard
from scripts.stack.program import Program
from scripts.stack.running import start, stop
from scripts.stack.state import ProcessState, StackState, lock, write_state

_PATIENCE_S: Final = 20.0


class GuardedRun:
    """Programs that end with `parts`, last one first, and are ended by a guard where this process is killed."""

    def __init__(self, data: DataFolder, prefix: str, deadline_s: float, parts: contextlib.ExitStack) -> None:
        """Start the guard of a data folder; `prefix` is that of the shared memory that is swept at the end.

        Each program has `deadline_s` seconds to become ready. Raises `StartError` where the guard does not start.
        """
        self._data = data
        self._deadline_s = deadline_s
        self._parts = parts
        self._state = StackState(
            run_id=f"stand-{secrets.token_hex(8)}",
            pid=os.getpid(),
            created_at=sessions.created(os.getpid()) or 0,
            url="",
            shared_memory_prefix=prefix,
        )
        write_state(data, self._state)
        guard = start_guard(data, parts.enter_context(lock(data)))
        # After the programs, which are stopped before it: it finds out that nothing is left, or ends that.
        parts.callback(_dismiss, guard, data)

    def start(self, each: Program) -> subprocess.Popen[bytes]:
        """Start a program, to be stopped at the end. Raises `StartError`."""

        def note(process: subprocess.Popen[bytes]) -> None:
            known = ProcessState(
                name=each.name,
                pid=process.pid,
                created_at=sessions.created(process.pid) or 0,
                stop_signal=each.stop_signal,
                grace_s=each.grace_s,
                layer=each.layer,
            )
            self._state = msgspec.structs.replace(self._state, processes={**self._state.processes, each.name: known})
            write_state(self._data, self._state)

        run_id = self._state.run_id
        log = self._data.logs / f"{each.name}.log"
        process = asyncio.run(start(each, log=log, run_id=run_id, deadline_s=self._deadline_s, on_spawn=note))
        self._parts.callback(stop, each, process, run_id)
        return process


def _dismiss(guard: subprocess.Popen[bytes], data: DataFolder) -> None:
    """Have the guard look after what is left, and do it ourselves where it does not."""
    assert guard.stdin  # noqa: S101  # The guard is started with one.
    guard.stdin.close()
    try:
        guard.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()
    clean_up(data)
