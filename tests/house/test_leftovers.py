import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from scripts.stack import sessions
from tests.fixtures.leftovers import MARK, mark_of, sweep

RUN = """
import os, subprocess
from tests.fixtures.leftovers import MARK, mark_of
os.environ[MARK] = mark_of(os.getpid())
# A daemon in a session of its own, which gives its child no environment.
child = "import subprocess; one = subprocess.Popen(['sleep', '60'], env=dict()); print(one.pid, flush=True); one.wait()"
daemon = subprocess.Popen([{python!r}, "-c", child], start_new_session=True, stdout=subprocess.PIPE, text=True)
print(daemon.pid, daemon.stdout.readline().strip(), flush=True)
input()
"""


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def run(started: ExitStack) -> tuple["subprocess.Popen[str]", int, int]:
    """A test run that started a daemon with a child; their numbers."""
    code = RUN.format(python=sys.executable)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    started.enter_context(process)
    assert process.stdout
    daemon, child = map(int, process.stdout.readline().split())
    return process, daemon, child


def test_a_run_is_marked() -> None:
    assert os.environ[MARK] == mark_of(os.getpid())


def test_what_a_killed_run_left_is_ended_and_that_of_a_living_one_is_not(started: ExitStack) -> None:
    living, *theirs = run(started)
    killed, *left = run(started)
    killed.kill()
    killed.wait(10)
    assert all(sessions.created(pid) for pid in left)
    words = sweep()
    assert not any(sessions.created(pid) for pid in left)
    assert all(sessions.created(pid) for pid in theirs)
    assert any(f"Ended {left[0]}," in word for word in words)
    assert not any(f"Ended {pid}," in word for word in words for pid in theirs)
    living.kill()
    living.wait(10)
    sweep()
    assert not any(sessions.created(pid) for pid in theirs)
