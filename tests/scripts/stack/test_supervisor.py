import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from scripts.stack.cleaning import clean_up
from scripts.stack.folder import DataFolder
from scripts.stack.program import NotReadyError, Program, StartError
from scripts.stack.running import start
from scripts.stack.state import Phase, ProcessState, StackState, read_state
from scripts.stack.supervisor import Patience, Supervisor

PATIENT = Patience(start_s=10, restarts=3, window_s=60)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "home")
    folder.create()
    return folder


def program(name: str, code: str, *, file: Path, after: tuple[str, ...] = ()) -> Program:
    """A process that is ready when it has made a file."""

    async def probe() -> None:
        if not file.exists():  # noqa: ASYNC240
            raise NotReadyError("not yet")

    return Program(
        name=name,
        command=(sys.executable, "-c", code),
        environment=dict(os.environ),
        probe=probe,
        after=after,
        grace_s=2,
    )


def sleeper(name: str, tmp_path: Path, after: tuple[str, ...] = ()) -> Program:
    file = tmp_path / name
    code = f"import pathlib, time; pathlib.Path({str(file)!r}).touch(); time.sleep(60)"
    return program(name, code, file=file, after=after)


@asynccontextmanager
async def supervising(
    folder: DataFolder, *programs: Program, patience: Patience = PATIENT
) -> AsyncIterator[tuple[Supervisor, list[ProcessState], "asyncio.Task[None]"]]:
    reports: list[ProcessState] = []
    state = StackState(run_id=secrets.token_hex(4), pid=0, created_at=0, url="", shared_memory_prefix="bonafide-tests-")
    supervisor = Supervisor(programs, folder=folder, state=state, patience=patience, report=reports.append)
    task = asyncio.create_task(supervisor.keep())
    try:
        yield supervisor, reports, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.to_thread(clean_up, folder)
        supervisor.reap()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # What is asked lies on disk and in other processes.
            await asyncio.sleep(0.02)


async def test_what_must_be_ready_first_is_started_first(folder: DataFolder, tmp_path: Path) -> None:
    later = sleeper("later", tmp_path, after=("sooner",))
    async with supervising(folder, later, sleeper("sooner", tmp_path)) as (supervisor, reports, _):
        await asyncio.wait_for(supervisor.ready(), 10)

        assert [(report.name, report.phase) for report in reports] == [
            ("sooner", Phase.STARTING),
            ("sooner", Phase.READY),
            ("later", Phase.STARTING),
            ("later", Phase.READY),
        ]
        state = read_state(folder)
        assert state
        assert state.ready
        assert all(process.pid and process.created_at for process in state.processes.values())


async def test_a_killed_process_is_started_again(folder: DataFolder, tmp_path: Path) -> None:
    async with supervising(folder, sleeper("one", tmp_path)) as (supervisor, reports, _):
        await asyncio.wait_for(supervisor.ready(), 10)
        first = supervisor.pid("one")
        assert first
        os.kill(first, signal.SIGKILL)

        await until(lambda: reports[-1].phase is Phase.READY and supervisor.pid("one") not in (None, first))

        assert reports[-1].restarts == 1
        assert f"status {-signal.SIGKILL}" in reports[-3].detail


async def test_what_keeps_dying_is_given_up_and_the_rest_goes_on(folder: DataFolder, tmp_path: Path) -> None:
    file = tmp_path / "dying"
    dying = program("dying", f"import pathlib, time; pathlib.Path({str(file)!r}).touch(); time.sleep(0.2)", file=file)
    patience = Patience(start_s=10, restarts=1, window_s=60)
    async with supervising(folder, dying, sleeper("steady", tmp_path), patience=patience) as (supervisor, _, task):
        await until(lambda: supervisor.state.processes["dying"].phase is Phase.FAILED)

        assert "given up after 1 restarts" in supervisor.state.processes["dying"].detail
        assert supervisor.state.processes["steady"].phase is Phase.READY
        assert not task.done()


async def test_a_first_start_that_fails_fails_the_platform_with_the_words_of_the_log(
    folder: DataFolder, tmp_path: Path
) -> None:
    broken = program("broken", "raise SystemExit('the reason')", file=tmp_path / "never")
    async with supervising(folder, broken) as (_, _, task):
        with pytest.raises(StartError, match=r"(?s)broken ended with status 1.*the reason"):
            await asyncio.wait_for(task, 10)


async def test_a_start_has_a_deadline_and_leaves_nothing(tmp_path: Path) -> None:
    never = program("never", "import time; time.sleep(60)", file=tmp_path / "never")
    pids: list[int] = []
    began = time.monotonic()

    with pytest.raises(StartError, match=r"did not become ready in time\. not yet"):
        await start(
            never, log=tmp_path / "log", run_id="x", deadline_s=0.5, on_spawn=lambda process: pids.append(process.pid)
        )

    assert time.monotonic() - began < 5
    with suppress(ProcessLookupError):
        os.kill(pids[0], 0)
        pytest.fail("the process still runs")


async def test_an_executable_that_is_missing_is_a_start_error(tmp_path: Path) -> None:
    missing = Program(name="missing", command=("/no/such/thing",), environment={}, probe=asyncio.Event().wait)  # pyright: ignore[reportArgumentType]

    with pytest.raises(StartError, match="missing cannot be started"):
        await start(missing, log=tmp_path / "log", run_id="x", deadline_s=5)
