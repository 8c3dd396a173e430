"""One decoding process as its parent sees it: start it, ask it, weigh it, kill it, and know when it has gone."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from bentos.media.wire import (
    HEAD,
    MAX_BODY,
    MAX_PAYLOAD,
    Answer,
    BrokenAnswerError,
    Ready,
    Request,
    read_answer,
    write_request,
)

PACKAGE_ROOT: Final = Path(__file__).parents[2]
EXIT_WAIT_S: Final = 10.0
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
CRASH_SIGNALS: Final = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS}
)
"""What ends a process whose decoder stumbled over its input."""
KEPT_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ")
"""All else, secrets above all, stays with the service."""
OWN_ENVIRONMENT: Final = {
    "PYTHONPATH": str(PACKAGE_ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "MALLOC_ARENA_MAX": "2",
}


class ChildGoneError(Exception):
    """The process ended without an answer."""


class Child:
    """A decoding process. `tasks` counts what it has done; `heavy` is set by whoever kills it for its memory."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self.tasks = 0
        self.heavy = False
        self._process = process
        self._channel = channel
        # Read as a file: this is asked after every task, where psutil would cost more than passing the task on does.
        self._statm = Path(f"/proc/{process.pid}/statm")
        self._exited = asyncio.Event()
        self._watch = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(self._watch, self._on_exit)

    @classmethod
    async def start(cls, modules: Sequence[str], *, timeout_s: float) -> Self:
        """Start a process and wait until it has imported `modules`.

        The parent-death signal is bound to the thread that starts the process, so this must run in the thread that
        lives as long as the service: the event loop's.

        Raises:
            ChildGoneError: It ended, or was not ready within `timeout_s` seconds.
            BrokenAnswerError: It began with something else than saying so.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            arguments = [str(theirs.fileno()), str(os.getpid()), *modules]
            kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
            process = subprocess.Popen(  # noqa: ASYNC220, S603  # A fixed command; returns once it is started.
                [sys.executable, "-P", "-m", "bentos.media.child", *arguments],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=kept | OWN_ENVIRONMENT,
            )
        child = cls(process, ours)
        try:
            async with asyncio.timeout(timeout_s):
                await child._become_ready()
        except TimeoutError as error:
            await child.kill()
            raise ChildGoneError(f"a decoding process was not ready after {timeout_s:.0f} s") from error
        except BaseException:
            await child.kill()
            raise
        return child

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not been seen to end."""
        return not self._exited.is_set()

    @property
    def crashed(self) -> bool:
        """Whether it ended by a signal that a decoder brings upon itself."""
        code = self._process.returncode
        return code is not None and code < 0 and -code in CRASH_SIGNALS

    def memory(self) -> int:
        """Bytes of memory of its own: resident, less what it shares with others; 0 when it has ended."""
        try:
            pages = self._statm.read_bytes().split()
        except OSError:
            return 0
        return (int(pages[1]) - int(pages[2])) * _PAGE

    async def ask(self, request: Request, payload: bytes) -> tuple[Answer, bytearray]:
        """Send a request and wait for its answer. After any error, time-out or cancellation the process is useless.

        Raises:
            ChildGoneError: It ended before it answered.
            BrokenAnswerError: It answered nonsense.
        """
        loop = asyncio.get_running_loop()
        body = write_request(request)
        self.tasks += 1
        try:
            await loop.sock_sendall(self._channel, HEAD.pack(len(body), len(payload)) + body)
            await loop.sock_sendall(self._channel, payload)
        except ConnectionError as error:
            raise ChildGoneError(f"decoding process {self.pid} is gone") from error
        return await self._receive()

    async def kill(self) -> None:
        """End the process now and wait until it has gone. Raises `TimeoutError` where the kernel does not let it go."""
        if self.alive:
            self.strike()
        await self.gone()
        self._channel.close()

    def strike(self) -> None:
        """Send the kill signal; whoever waits for an answer gets `ChildGoneError`."""
        self._process.kill()

    async def gone(self) -> None:
        """Wait until the process has ended. Raises `TimeoutError` after ten seconds."""
        async with asyncio.timeout(EXIT_WAIT_S):
            await self._exited.wait()

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._watch)
        os.close(self._watch)
        self._process.wait()
        self._exited.set()

    async def _become_ready(self) -> None:
        answer, _ = await self._receive()
        if not isinstance(answer, Ready):
            raise BrokenAnswerError(f"a decoding process began with {answer}")

    async def _receive(self) -> tuple[Answer, bytearray]:
        body_size, payload_size = HEAD.unpack(await self._read(HEAD.size))
        if body_size > MAX_BODY or payload_size > MAX_PAYLOAD:
            raise BrokenAnswerError("an answer of absurd size")
        return read_answer(await self._read(body_size)), await self._read(payload_size)

    async def _read(self, size: int) -> bytearray:
        loop = asyncio.get_running_loop()
        parts = bytearray(size)
        view, position = memoryview(parts), 0
        while position < size:
            try:
                count = await loop.sock_recv_into(self._channel, view[position:])
            except ConnectionError:
                count = 0
            if count == 0:
                raise ChildGoneError(f"decoding process {self.pid} is gone")
            position += count
        return parts
