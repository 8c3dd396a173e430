"""A few decoding processes behind an asyncio interface: bounded queue, deadlines, watched memory, nothing left behind.

Written here because `pebble.ProcessPool` shares one pipe and one lock among its workers: a worker killed while it holds
them stalls or breaks the pool for all, its limits are looked at ten times a second, and memory not at all. Here every
process has its own socket, so whatever happens to one concerns its own task only.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from bentos.errors import (
    DeadlineExceededError,
    DetectionError,
    KilledError,
    MediaTooCostlyError,
    OverloadedError,
    UnavailableError,
    UnreadableMediaError,
)
from bentos.media.process import Child, ChildGoneError
from bentos.media.tasks import MediaTask
from bentos.media.wire import BrokenAnswerError, Crashed, Request, read_outcome

Options = TypeVar("Options")
Result = TypeVar("Result")
log = logging.getLogger(__name__)

CLOSING: Final = "The service is shutting down."
WATCH_S: Final = 0.05
"""How often memory is looked at: a process can touch about 100 MB in that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Bounds of the pool. Times in seconds, memory in bytes of a process's own.

    `task_s` is the longest a task may run, whatever the caller's deadline. A process is replaced after `tasks` tasks or
    once it keeps more than `idle_memory` between two. A task whose caller has gone is killed after `abandoned_s`.
    """

    processes: int = 2
    waiting: int = 128
    task_s: float = 60.0
    memory: int = 1024 * 1024 * 1024
    tasks: int = 20_000
    idle_memory: int = 512 * 1024 * 1024
    start_s: float = 60.0
    abandoned_s: float = 1.0


class MediaPool:
    """Runs media tasks in processes that start when first needed; `close` it, or use it as an async context manager."""

    def __init__(self, limits: PoolLimits | None = None, *, preload: tuple[str, ...] = ()) -> None:
        """Start nothing yet; `preload` names the modules that a process imports before it counts as ready."""
        self.limits = limits or PoolLimits()
        self._preload = preload
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._waiters: deque[asyncio.Future[Child]] = deque()
        self._starts: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[Any]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._at_work = asyncio.Event()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that are ready or at work."""
        return tuple(child.pid for child in (*self._idle, *self._busy))

    @property
    def waiting(self) -> int:
        """Tasks in the queue."""
        return len(self._waiters)

    async def run(
        self, task: MediaTask[Options, Result], medium: bytes | Path, options: Options, *, timeout_s: float
    ) -> Result:
        """Run a task on a medium and return its result; queueing counts towards `timeout_s`.

        Raises:
            OverloadedError: The queue is full.
            DeadlineExceededError: `timeout_s` has passed; the process is killed if the task had begun.
            MediaTooCostlyError: The task ran longer than `task_s` or took more memory than is allowed.
            UnreadableMediaError: The medium made the decoder crash.
            UnavailableError: The process was killed from outside or could not be started, or the pool is closed.
            DetectionError: What the task itself raised.
        """
        deadline = time.monotonic() + timeout_s
        try:
            return await self._run_once(task, medium, options, deadline)
        except KilledError:
            # Several may have been killed at once, and only this one been seen to be.
            return await self._run_once(task, medium, options, deadline)

    async def _run_once(
        self, task: MediaTask[Options, Result], medium: bytes | Path, options: Options, deadline: float
    ) -> Result:
        child = await self._take(deadline)
        work = self._spawn(self._work(child, task, medium, options, deadline))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # A short task is cheaper to finish than a process is to replace; the place in the pool is kept till then.
            asyncio.get_running_loop().call_later(self.limits.abandoned_s, work.cancel)
            raise

    async def close(self) -> None:
        """Kill all processes, fail what runs and waits, and return when nothing is left."""
        self._closed = True
        while self._waiters:
            self._fail_waiter(UnavailableError(CLOSING))
        for start in tuple(self._starts):
            start.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        for child in (*self._idle, *self._busy):
            child.strike()
        await asyncio.gather(*(child.kill() for child in self._idle))
        self._idle.clear()
        while self._background or self._starts:
            await asyncio.gather(*self._background, *self._starts, return_exceptions=True)

    async def _take(self, deadline: float) -> Child:
        """A process for the caller alone, as soon as one is free. The last used goes first: its caches are warm."""
        if self._closed:
            raise UnavailableError(CLOSING)
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch_memory())
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                self._engage(child)
                return child
            self._spawn(child.kill())
        if len(self._waiters) >= self.limits.waiting:
            raise OverloadedError
        waiter: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._grow()
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await waiter
        except (TimeoutError, asyncio.CancelledError) as error:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._release(waiter.result())
            if isinstance(error, TimeoutError):
                raise DeadlineExceededError from error
            raise

    async def _work(
        self, child: Child, task: MediaTask[Options, Result], medium: bytes | Path, options: Options, deadline: float
    ) -> Result:
        """Have a process do a task, and see to it that the process is ready for the next or gone."""
        path, payload = (medium, b"") if isinstance(medium, Path) else (None, medium)
        request = Request(task.module, task.function, options, path)
        left = deadline - time.monotonic()
        finished = False
        try:
            async with asyncio.timeout(min(left, self.limits.task_s)):
                answer, arrays = await child.ask(request, payload)
            outcome = read_outcome(answer, arrays, task.result)
            finished = True
        except TimeoutError as error:
            raise (DeadlineExceededError if left < self.limits.task_s else MediaTooCostlyError) from error
        except ChildGoneError as error:
            await child.gone()
            raise self._why_gone(child) from error
        except BrokenAnswerError as error:
            log.exception("a decoding process gave an answer that breaks the protocol")
            raise DetectionError from error
        finally:
            if finished:
                self._release(child)
            else:
                self._discard(child)
        if isinstance(outcome, Crashed):
            log.error("%s failed: %s\n%s", task.function, outcome.error, outcome.traceback)
            raise DetectionError
        if isinstance(outcome, DetectionError):
            raise outcome
        return outcome

    def _why_gone(self, child: Child) -> DetectionError:
        """The error for the task whose process ended under it."""
        if self._closed:
            return UnavailableError(CLOSING)
        if child.heavy:
            return MediaTooCostlyError("Decoding the file took more memory than is allowed.")
        if child.crashed:
            return UnreadableMediaError("The file is damaged in a way that no decoder can read.")
        return KilledError()

    def _engage(self, child: Child) -> None:
        self._busy.add(child)
        self._at_work.set()

    def _release(self, child: Child) -> None:
        """Hand a process that has finished to the next in the queue. A worn one goes once its successor is there."""
        self._busy.discard(child)
        if self._closed or not child.alive:
            self._discard(child)
            return
        if child.tasks >= self.limits.tasks or child.memory() > self.limits.idle_memory:
            if self._count() >= self.limits.processes:
                self._discard(child)
                return
            if not self._starts:
                self._start()
        self._offer(child)

    def _offer(self, child: Child) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._engage(child)
                waiter.set_result(child)
                return
        self._idle.append(child)

    def _discard(self, child: Child) -> None:
        self._busy.discard(child)
        self._spawn(child.kill())
        self._grow()

    def _count(self) -> int:
        return len(self._idle) + len(self._busy)

    def _grow(self) -> None:
        """Start as many processes as wait for one and may be."""
        room = self.limits.processes - self._count() - len(self._starts)
        for _ in range(min(room, len(self._waiters) - len(self._starts))):
            self._start()

    def _start(self) -> None:
        if self._closed:
            return
        start = asyncio.create_task(self._start_child())
        self._starts.add(start)
        start.add_done_callback(self._starts.discard)

    async def _start_child(self) -> None:
        """Start a process apart from any caller, so that short deadlines cannot keep the pool from ever starting."""
        try:
            child = await Child.start(self._preload, timeout_s=self.limits.start_s)
        except (ChildGoneError, BrokenAnswerError, OSError):
            log.exception("a decoding process did not start")
            self._fail_waiter(UnavailableError("No decoding process could be started; try again shortly."))
            return
        if self._closed:
            await child.kill()
            return
        self._offer(child)

    def _fail_waiter(self, error: DetectionError) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)
                return

    def _spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, work: asyncio.Task[Any]) -> None:
        """Mark the outcome as seen: where nobody waits any more, nobody would."""
        self._background.discard(work)
        if not work.cancelled():
            work.exception()

    async def _watch_memory(self) -> None:
        """Kill whatever holds more memory than it may; only that one task fails."""
        while True:
            await self._at_work.wait()
            await asyncio.sleep(WATCH_S)
            if not self._busy:
                self._at_work.clear()
            for child in tuple(self._busy):
                if child.alive and child.memory() > self.limits.memory:
                    child.heavy = True
                    child.strike()
