import os
import subprocess
import sys
import time

import pytest

from scripts.bench.resources import MemoryWatch, cpu_seconds, members, pss_bytes, spent

CHILD = "import time; end = time.process_time() + {}\nwhile time.process_time() < end: pass\n{}"


@pytest.fixture
def start():
    started = []

    def run(busy_s, then="input()"):
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD.format(busy_s, then)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_a_process_belongs_to_its_nearest_root(start):
    child = start(0)

    found = members({"all": [os.getpid()], "child": [child.pid]})

    assert [process.pid for process in found["child"]] == [child.pid]
    assert os.getpid() in {process.pid for process in found["all"]}
    assert child.pid not in {process.pid for process in found["all"]}


def test_cpu_of_children_that_ended_is_kept(start):
    groups = {"parent": [os.getpid()]}
    before = cpu_seconds(groups)

    start(0.3, then="").wait(timeout=20)

    assert spent(before, cpu_seconds(groups))["parent"] >= 0.25


HOLD_AND_LET_GO = """
print(0, flush=True), input()
held = bytearray(80_000_000)
print(1, flush=True), input()
del held
print(2, flush=True), input()
"""


def test_memory_watch_sees_what_was_let_go_again(start):
    child = start(0, then=HOLD_AND_LET_GO)
    groups = {"child": [child.pid]}
    child.stdout.readline()

    with MemoryWatch(groups, interval_s=0.02) as watch:
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        time.sleep(0.2)
        child.stdin.write(b"\n")
        child.stdin.flush()
        time.sleep(0.2)

    assert 75e6 < watch.growth["child"] < 120e6
    assert pss_bytes(groups)["child"] < watch.peak["child"] - 75e6
