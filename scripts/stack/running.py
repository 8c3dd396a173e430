"""Starting one program and waiting until it is ready: the step that the supervisor and the tests' fixtures share."""

import asyncio
import contextlib
import secrets
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

from scripts.stack import sessions
from scripts.stack.program import NotReadyError, Program, StartError, spawn

_PROBE_INTERVAL_S: Final = 0.05
_LOG_LINES: Final = 15


async def start(
    program: Program,
    *,
    log: Path,
    run_id: str,
    deadline_s: float,
    on_spawn: Callable[[subprocess.Popen[bytes]], None] = lambda _: None,
) -> subprocess.Popen[bytes]:
    """Prepare and start a program, wait until it answers, activate it. `on_spawn` is told of it before it answers.

    Raises:
        StartError: It ended, or was not ready after `deadline_s` seconds; with the end of its log. It is ended then.
    """
    until = time.monotonic() + deadline_s
    await program.prepare()
    offset = _size(log)
    process = spawn(program, log=log, mark=sessions.mark_of(run_id, program.name))
    try:
        on_spawn(process)
        await _ready(program, process, until)
    except BaseException as error:
        await asyncio.to_thread(stop, program, process, run_id)
        if isinstance(error, StartError):
            raise StartError(f"{error}{_said(log, offset)}") from error
        raise
    return process


def stop(program: Program, process: subprocess.Popen[bytes], run_id: str) -> None:
    """End a program's process with all that it has started, and collect its exit status."""
    family = sessions.Family(process.pid, sessions.created(process.pid) or 0, sessions.mark_of(run_id, program.name))
    sessions.end(family, stop_signal=program.stop_signal, grace_s=program.grace_s)
    process.wait()


@contextlib.contextmanager
def running(program: Program, *, log: Path, run_id: str, deadline_s: float) -> Generator[subprocess.Popen[bytes]]:
    """Run a program for the length of a block, ready at its start and gone at its end.

    `run_id` need not be unlike those of others; what it becomes is.
    """
    run_id = f"{run_id}-{secrets.token_hex(8)}"
    process = asyncio.run(start(program, log=log, run_id=run_id, deadline_s=deadline_s))
    try:
        yield process
    finally:
        stop(program, process, run_id)


async def _ready(program: Program, process: subprocess.Popen[bytes], until: float) -> None:
    """Wait for the first answer and activate; raise `StartError` where the program ends or `until` comes first."""
    reason = ""
    try:
        async with asyncio.timeout(until - time.monotonic()):
            while True:
                if process.poll() is not None:
                    raise StartError(f"{program.name} ended with status {process.returncode} before it was ready.")
                try:
                    await program.probe()
                    break
                except NotReadyError as error:
                    reason = str(error)
                await asyncio.sleep(_PROBE_INTERVAL_S)
            await program.activate()
    except TimeoutError as error:
        raise StartError(f"{program.name} did not become ready in time. {reason}".strip()) from error


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _said(log: Path, offset: int) -> str:
    """Return the last lines that were written to a log after an offset."""
    with log.open("rb") as stream:
        stream.seek(offset)
        lines = stream.read().decode(errors="replace").splitlines()
    return "".join(f"\n  {line}" for line in lines[-_LOG_LINES:])
