"""Keeps the programs of the platform running: ordered start, restart with back-off and a limit."""

import asyncio
import os
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from scripts.stack import sessions
from scripts.stack.folder import DataFolder
from scripts.stack.program import Program, StartError
from scripts.stack.running import start, stop
from scripts.stack.state import Phase, ProcessState, StackState, write_state

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0

Report = Callable[[ProcessState], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a start may take, and how often within how many seconds a process may be started again."""

    start_s: float
    restarts: int
    window_s: float


@dataclass
class _Kept:
    """What is known of a program while it is supervised."""

    program: Program
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    process: subprocess.Popen[bytes] | None = None
    ends: deque[float] = field(default_factory=deque)


class Supervisor:
    """Starts programs and starts them again. It never stops them: that is the guard's, whatever the reason."""

    def __init__(
        self, programs: Sequence[Program], *, folder: DataFolder, state: StackState, patience: Patience, report: Report
    ) -> None:
        self._kept = {program.name: _Kept(program) for program in programs}
        self._folder = folder
        self._state = msgspec.structs.replace(state, processes={p.name: _waiting(p) for p in programs})
        self._patience = patience
        self._report = report
        write_state(folder, self._state)

    @property
    def state(self) -> StackState:
        """What is written down at this moment."""
        return self._state

    def pid(self, name: str) -> int | None:
        """Return the number of a program's process while it is ready."""
        kept = self._kept[name]
        return kept.process.pid if kept.process and kept.ready.is_set() else None

    async def keep(self) -> None:
        """Start everything and keep it running until cancelled.

        Raises:
            StartError: A program could not be started the first time. Later failures are retried and reported.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for kept in self._kept.values():
                    tasks.create_task(self._keep(kept))
        except ExceptionGroup as group:
            failures, others = group.split(StartError)
            if failures is None or others is not None:
                raise
            raise StartError(str(failures.exceptions[0])) from group

    async def ready(self) -> None:
        """Return when every program was ready at once for the first time."""
        for kept in self._kept.values():
            await kept.ready.wait()
        self._state = msgspec.structs.replace(self._state, ready=True)
        write_state(self._folder, self._state)

    def restart(self, name: str) -> None:
        """End a program that lives but does not work, so that it is started again."""
        process = self._kept[name].process
        if process:
            process.kill()

    def reap(self) -> None:
        """Collect the exit statuses of processes that the guard has ended."""
        for kept in self._kept.values():
            if kept.process:
                kept.process.wait()

    async def _keep(self, kept: _Kept) -> None:
        first = True
        while True:
            try:
                process = await self._start(kept)
            except StartError as error:
                if first:
                    self._note(kept, phase=Phase.FAILED, pid=0, detail=str(error))
                    raise
                detail = str(error)
            else:
                first = False
                status = await _exited(process)
                kept.ready.clear()
                detail = f"ended with status {status}"
                await asyncio.to_thread(stop, kept.program, process, self._state.run_id)
            if not await self._pause(kept, detail):
                return

    async def _start(self, kept: _Kept) -> subprocess.Popen[bytes]:
        program = kept.program
        for name in program.after:
            await self._kept[name].ready.wait()
        began = time.monotonic()
        self._note(kept, phase=Phase.STARTING, detail="")

        def spawned(process: subprocess.Popen[bytes]) -> None:
            kept.process = process
            self._note(kept, pid=process.pid, created_at=sessions.created(process.pid) or time.time())

        log = self._folder.logs / f"{program.name}.log"
        process = await start(
            program, log=log, run_id=self._state.run_id, deadline_s=self._patience.start_s, on_spawn=spawned
        )
        kept.ready.set()
        self._note(kept, phase=Phase.READY, ready_after_s=round(time.monotonic() - began, 2))
        return process

    async def _pause(self, kept: _Kept, detail: str) -> bool:
        """Wait before the next start, longer each time; tell whether there may be one."""
        now = time.monotonic()
        kept.ends.append(now)
        while now - kept.ends[0] > self._patience.window_s:
            kept.ends.popleft()
        restarts = self._state.processes[kept.program.name].restarts
        if len(kept.ends) > self._patience.restarts:
            self._note(kept, phase=Phase.FAILED, pid=0, detail=f"{detail}; given up after {restarts} restarts")
            return False
        self._note(kept, phase=Phase.RESTARTING, pid=0, detail=detail, restarts=restarts + 1)
        await asyncio.sleep(min(_FIRST_PAUSE_S * 2 ** (len(kept.ends) - 1), _LONGEST_PAUSE_S))
        return True

    def _note(self, kept: _Kept, **changes: object) -> None:
        """Change what is known of a program, on disk first: the guard may need it the next moment."""
        name = kept.program.name
        changed = msgspec.structs.replace(self._state.processes[name], **changes)
        self._state = msgspec.structs.replace(self._state, processes={**self._state.processes, name: changed})
        write_state(self._folder, self._state)
        if "phase" in changes:
            self._report(changed)


def _waiting(program: Program) -> ProcessState:
    return ProcessState(
        name=program.name, stop_signal=program.stop_signal, grace_s=program.grace_s, layer=program.layer
    )


async def _exited(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a child and return its status, negative where a signal ended it."""
    descriptor = os.pidfd_open(process.pid)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()
