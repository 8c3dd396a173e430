"""One life of the platform, from taking the data folder to letting go of it: what `bonafide up` runs."""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scripts.stack import repository, sessions
from scripts.stack.cleaning import clean_up
from scripts.stack.composition import Platform, compose
from scripts.stack.folder import DataFolder
from scripts.stack.guard import start_guard
from scripts.stack.healing import Watch, watch_models
from scripts.stack.heart import HeartWatch, watch_worker
from scripts.stack.logs import keep_small
from scripts.stack.ports import taken
from scripts.stack.program import StartError
from scripts.stack.settings import StackSettings
from scripts.stack.state import LockedError, ProcessState, StackState, lock, read_state
from scripts.stack.supervisor import Patience, Supervisor

_GUARD_SLACK_S: Final = 10
"""What the guard may take beyond the stop deadline of each of the three layers."""
_LAYERS: Final = 3


class AlreadyRunningError(Exception):
    """The platform runs already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Whoever shows the user what happens: processes that change, models that answer, remarks, ready, stopping."""

    process: Callable[[ProcessState], None]
    model: Callable[[str], None]
    remark: Callable[[str], None]
    ready: Callable[[float], None]
    stopping: Callable[[], None]


async def live(settings: StackSettings, environment: Mapping[str, str], listener: Listener) -> None:
    """Start the platform, keep it running until SIGINT or SIGTERM, and leave nothing behind.

    Raises:
        AlreadyRunningError: Another process runs it in the same data folder.
        StartError: Something is missing, a port is taken, or a process did not become ready.
    """
    began = time.monotonic()
    folder = DataFolder(settings.home)
    folder.create()
    with contextlib.ExitStack() as held:
        descriptor = await _take(folder, held, settings.stop_deadline_s)
        for word in await asyncio.to_thread(clean_up, folder):
            listener.remark(f"A former run had left something behind: {word}.")
        complaints = taken(settings.ports)
        if complaints:
            raise StartError("\n".join(complaints))
        platform = await asyncio.to_thread(compose, settings, environment, on_model=listener.model)
        supervisor = Supervisor(
            platform.programs,
            folder=folder,
            state=_new_state(settings, platform),
            patience=Patience(
                start_s=settings.start_deadline_s,
                restarts=settings.restart_limit,
                window_s=settings.restart_window_s,
            ),
            report=listener.process,
        )
        guards = _Guards(folder, descriptor)
        try:
            await _until_told(
                supervisor.keep(),
                guards.keep(),
                keep_small(folder.logs, settings.log_max_bytes),
                _accompany(settings, platform, supervisor, listener, began),
            )
        finally:
            listener.stopping()
            await asyncio.to_thread(guards.dismiss, _LAYERS * settings.stop_deadline_s + _GUARD_SLACK_S)
            supervisor.reap()


async def _accompany(
    settings: StackSettings, platform: Platform, supervisor: Supervisor, listener: Listener, began: float
) -> None:
    """Say when the platform is ready, then watch its models and its worker."""
    await supervisor.ready()
    listener.ready(time.monotonic() - began)
    heart = HeartWatch(
        conninfo=platform.cluster.conninfo(),
        pid=lambda: supervisor.pid("worker"),
        restart=lambda: supervisor.restart("worker"),
        tell=listener.remark,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch_worker(heart))
        tasks.create_task(_watch_models(settings, platform, supervisor, listener))


async def _watch_models(
    settings: StackSettings, platform: Platform, supervisor: Supervisor, listener: Listener
) -> None:
    await watch_models(
        Watch(
            control=platform.triton.control,
            pid=lambda: supervisor.pid("triton"),
            served=lambda: repository.served(settings.model_repository),
            restart=lambda: supervisor.restart("triton"),
            tell=listener.remark,
            interval_s=settings.watch_interval_s,
            deadline_s=settings.watch_deadline_s,
        )
    )


async def _take(folder: DataFolder, held: contextlib.ExitStack, patience_s: float) -> int:
    """Take the data folder, waiting for a guard that is still cleaning up after a platform that died."""
    until = time.monotonic() + patience_s
    while True:
        try:
            return held.enter_context(lock(folder))
        except LockedError as error:
            state = read_state(folder)
            if state and sessions.is_same(state.pid, state.created_at):
                raise AlreadyRunningError(f"Already running (process {state.pid}) at {state.url}.") from error
            if time.monotonic() > until:
                raise AlreadyRunningError(f"Another process holds {folder.root}.") from error
        await asyncio.sleep(0.1)


def _new_state(settings: StackSettings, platform: Platform) -> StackState:
    return StackState(
        run_id=secrets.token_hex(8),
        pid=os.getpid(),
        created_at=sessions.created(os.getpid()) or time.time(),
        url=settings.gateway_url,
        shared_memory_prefix=platform.triton.shared_memory_prefix,
    )


async def _until_told(*tasks: Coroutine[Any, Any, None]) -> None:
    """Run tasks side by side until SIGINT or SIGTERM comes, or one of them fails with what it then raises."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, told.set)
    running = [asyncio.create_task(task) for task in tasks]
    waiting = asyncio.create_task(told.wait())
    try:
        done, _ = await asyncio.wait([waiting, *running], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (waiting, *running):
            task.cancel()
        await asyncio.gather(waiting, *running, return_exceptions=True)


class _Guards:
    """The guard of this run, and another in its place should it die."""

    def __init__(self, folder: DataFolder, lock: int) -> None:
        self._folder = folder
        self._lock = lock
        self._guard = start_guard(folder, lock)

    async def keep(self) -> None:
        """Replace a guard that has died, until cancelled."""
        while True:
            if self._guard.poll() is not None:
                self._close()
                self._guard = start_guard(self._folder, self._lock)
            await asyncio.sleep(0.5)

    def dismiss(self, patience_s: float) -> None:
        """Have the guard end everything, and wait until it has; do it ourselves where it does not."""
        self._close()
        try:
            self._guard.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        clean_up(self._folder)

    def _close(self) -> None:
        if self._guard.stdin:
            self._guard.stdin.close()
