import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from scripts.stack import sessions
from scripts.stack.folder import DataFolder
from scripts.stack.state import is_locked, read_state

UP = """
import os, subprocess, sys, time
from pathlib import Path
from scripts.stack import sessions
from scripts.stack.folder import DataFolder
from scripts.stack.guard import start_guard
from scripts.stack.state import ProcessState, StackState, lock, write_state

folder = DataFolder(Path(sys.argv[1]))
folder.create()
environment = {**os.environ, "BONAFIDE_RUN": "the-run"}
with lock(folder) as descriptor:
    guard = start_guard(folder, descriptor)
    known = subprocess.Popen(["sleep", "60"], start_new_session=True, env=environment)
    subprocess.Popen(["sleep", "60"], start_new_session=True, env=environment)
    state = ProcessState(
        name="known", pid=known.pid, created_at=sessions.created(known.pid), stop_signal=15, grace_s=5, layer=0
    )
    write_state(folder, StackState(
        run_id="the-run", pid=os.getpid(), created_at=0, url="", shared_memory_prefix=sys.argv[2],
        processes={"known": state},
    ))
    print(guard.pid, flush=True)
    time.sleep(60)
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nothing_outlives_a_killed_up(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "home")
    prefix = f"bonafide-test-{os.getpid()}-"
    region = sessions.SHARED_MEMORY / f"{prefix}region"
    region.touch()
    with subprocess.Popen([sys.executable, "-c", UP, folder.root, prefix], stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout
        guard = int(up.stdout.readline())
        assert len(sessions.marked("the-run")) == 2
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(guard, number)
        assert is_locked(folder)

        up.kill()

    until(lambda: not is_locked(folder))
    until(lambda: sessions.created(guard) is None)
    assert sessions.marked("the-run") == []
    assert not region.exists()
    assert read_state(folder) is None
    assert "which was left behind" in (folder.logs / "guard.log").read_text()
