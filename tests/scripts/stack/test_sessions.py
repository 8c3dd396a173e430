import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts.stack import sessions
from scripts.stack.program import RUN_VARIABLE

FAMILY = """
import subprocess, sys, signal
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "60"], start_new_session="daemon" in sys.argv)
if "orphan" in sys.argv:
    sys.exit()
print("started", flush=True)
child.wait()
"""


def family(*words: str, run_id: str = "none") -> subprocess.Popen[str]:
    """A process in a session of its own with a child in the same."""
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY, *words],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, RUN_VARIABLE: run_id},
    )
    assert process.stdout
    if "orphan" in words:
        process.wait(10)
    else:
        assert process.stdout.readline() == "started\n"
    process.stdout.close()
    return process


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    process = family()
    yield process
    sessions.kill(of(process).living())
    process.wait()


def born(process: subprocess.Popen[str]) -> float:
    return sessions.created(process.pid) or 0


def of(process: subprocess.Popen[str], mark: str = "no mark") -> sessions.Family:
    return sessions.Family(process.pid, born(process), mark)


def test_a_process_is_told_from_a_later_one_of_the_same_number(parent: subprocess.Popen[str]) -> None:
    when = born(parent)

    assert sessions.is_same(parent.pid, when)
    assert not sessions.is_same(parent.pid, when - 60)
    assert sessions.Family(parent.pid, when - 60, "no mark").living() == []


def test_ending_takes_the_whole_session(parent: subprocess.Popen[str]) -> None:
    members = of(parent).living()

    sessions.end(of(parent), stop_signal=signal.SIGTERM, grace_s=5)

    assert len(members) == 2
    assert all(sessions.created(member.pid) is None for member in members)


def test_the_stubborn_are_killed_after_the_grace() -> None:
    process = family("stubborn")
    started = time.monotonic()

    sessions.end(of(process), stop_signal=signal.SIGTERM, grace_s=0.5)

    assert 0.5 <= time.monotonic() - started < 3
    assert process.wait(1) == -signal.SIGKILL


def test_what_a_dead_leader_left_behind_is_found_and_ended() -> None:
    process = family("orphan", run_id="left-behind")

    (orphan,) = of(process).living()
    assert [stray.pid for stray in sessions.marked("left-behind")] == [orphan.pid]

    sessions.end(of(process), stop_signal=signal.SIGTERM, grace_s=5)
    assert sessions.created(orphan.pid) is None


def test_what_opened_a_session_of_its_own_is_found_by_its_mark() -> None:
    process = family("daemon", run_id="a-run/a-program")
    (child,) = [each for each in of(process, "a-run/a-program").living() if each.pid != process.pid]
    assert os.getsid(child.pid) != os.getsid(process.pid)
    process.kill()
    process.wait()

    sessions.end(of(process, "a-run/a-program"), stop_signal=signal.SIGTERM, grace_s=5)

    assert sessions.created(child.pid) is None


def test_the_mark_of_a_run_is_on_all_its_programs_and_no_others() -> None:
    one, other = family(run_id="run-1/gateway"), family(run_id="run-10/gateway")
    try:
        assert {each.pid for each in sessions.marked("run-1")} >= {one.pid}
        assert other.pid not in {each.pid for each in sessions.marked("run-1")}
        assert sessions.marked("run-1/gate") == []
    finally:
        sessions.kill([*sessions.marked("run-1"), *sessions.marked("run-10")])
        one.wait(1)
        other.wait(1)


def test_marks_tell_runs_apart() -> None:
    one, other = family(run_id="one-run"), family(run_id="other-run")

    sessions.kill(sessions.marked("one-run"))

    assert one.wait(1) == -signal.SIGKILL
    assert psutil.Process(other.pid).is_running()
    sessions.kill(sessions.marked("other-run"))
    other.wait(1)


def test_only_regions_of_ours_are_swept(tmp_path: Path) -> None:
    for name in ("bonafide-abc-1", "bonafide-abc-2", "bonafide-def-1", "PostgreSQL.1"):
        (tmp_path / name).touch()

    assert sorted(sessions.sweep_shared_memory("bonafide-abc-", tmp_path)) == ["bonafide-abc-1", "bonafide-abc-2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["PostgreSQL.1", "bonafide-def-1"]
    with pytest.raises(ValueError, match="not a prefix of ours"):
        sessions.sweep_shared_memory("", tmp_path)
