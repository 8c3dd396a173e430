"""The platform as its operator meets it: it starts, heals what dies, stops, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import psutil
import pytest

from scripts.stack.healing import stubs
from scripts.stack.memory import measure
from scripts.stack.state import Phase, is_locked
from tests.fixtures.stack import START_DEADLINE_S, STOP_DEADLINE_S, Stack, new_stack, noise_jpeg, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(START_DEADLINE_S + 2 * STOP_DEADLINE_S)]


def answers(stack: Stack) -> bool:
    """Tell whether a verdict comes back; a gateway that is just being started again refuses connections."""
    try:
        return stack.detect(noise_jpeg()).is_success
    except httpx.TransportError:
        return False


def wait_until_whole(stack: Stack, deadline_s: float = 60) -> None:
    """Wait until every process is ready; fail with what they say of themselves where one is not in time."""
    deadline = time.monotonic() + deadline_s
    while lame := [process for process in stack.state().processes.values() if process.phase is not Phase.READY]:
        assert time.monotonic() < deadline, lame
        time.sleep(0.1)


def wait_for_line(process: "subprocess.Popen[str]", words: str) -> str:
    """Return the first line with these words; the deadline is that of the test."""
    assert process.stdout
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return line
    pytest.fail("".join(seen))


def test_a_verdict_comes_back_and_is_kept(stack: Stack) -> None:
    answer = stack.detect(noise_jpeg())

    assert answer.is_success, answer.text
    assert answer.json()["verdict"] in {"REAL", "FAKE", "UNCERTAIN"}


def test_status_shows_every_process_and_that_it_is_small(stack: Stack) -> None:
    wait_until_whole(stack)

    answer = stack.bonafide("status")

    assert answer.returncode == 0, answer.stdout
    assert all(name in answer.stdout for name in stack.state().processes)
    assert sum(measure(stack.state()).values()) < 2.5e9


def test_a_second_up_says_that_it_runs_already(stack: Stack) -> None:
    for words in (("up",), ("up", "--detach")):
        answer = stack.bonafide(*words)

        assert answer.returncode == 3
        assert "Already running" in answer.stdout
        assert stack.url in answer.stdout


def test_logs_of_every_process_are_kept(stack: Stack) -> None:
    answer = stack.bonafide("logs", "-n", "3")

    assert answer.returncode == 0
    assert all(f"{name} " in answer.stdout for name in stack.state().processes)


def test_the_secrets_are_the_owner_s_alone(stack: Stack) -> None:
    files = [stack.folder.api_key, *stack.folder.secrets.iterdir()]

    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_weights_run_without_a_secret_in_their_environment(stack: Stack) -> None:
    wait_until_whole(stack)
    secrets = {file.read_text() for file in stack.folder.secrets.iterdir()}
    triton = stack.state().processes["triton"].pid

    for pid in (triton, *stubs(triton)):
        assert not secrets & set(psutil.Process(pid).environ().values())


def test_a_killed_stub_heals(stack: Stack) -> None:
    wait_until_whole(stack)
    triton = stack.state().processes["triton"].pid
    (victim,) = [pid for pid, instance in stubs(triton).items() if instance.startswith("image_cnn_")]

    psutil.Process(victim).kill()

    wait_until(lambda: answers(stack), 30)
    assert stack.state().processes["triton"].pid == triton
    assert victim not in stubs(triton)


@pytest.mark.parametrize("name", ["postgres", "triton", "bento-image", "gateway", "worker"])
def test_a_killed_process_comes_back(stack: Stack, name: str) -> None:
    wait_until_whole(stack)
    before = stack.state().processes[name]

    os.kill(before.pid, signal.SIGKILL)

    wait_until(lambda: stack.state().processes[name].restarts > before.restarts)
    wait_until_whole(stack, START_DEADLINE_S)
    wait_until(lambda: answers(stack), 30)


def test_a_port_in_use_is_said_before_anything_starts(outer_folder: Path) -> None:
    stack = new_stack(outer_folder / "port-in-use")
    with socket.create_server(("127.0.0.1", stack.settings.gateway_port)):
        answer = stack.bonafide("up")

    assert answer.returncode == 1
    assert f"Port {stack.settings.gateway_port} on 127.0.0.1 is in use" in answer.stdout
    assert "BONAFIDE_GATEWAY_PORT" in answer.stdout
    assert not (stack.folder.postgres / "data").exists()
    assert not is_locked(stack.folder)


def test_nothing_outlives_up_however_it_ends_and_what_was_kept_is_kept(outer_folder: Path) -> None:
    stack = new_stack(outer_folder / "ended")
    with stack.open("up") as up:
        wait_for_line(up, "Bonafide is ready")
        state = stack.state()
        kept = stack.detect(noise_jpeg()).json()["id"]
        up.kill()
    wait_until(lambda: not is_locked(stack.folder), STOP_DEADLINE_S)
    assert stack.leftovers(state) == []
    assert "database system is shut down" in (stack.folder.logs / "postgres.log").read_text()

    with stack.open("up") as up:
        wait_for_line(up, "Bonafide is ready")
        state = stack.state()
        history = httpx.get(f"{stack.url}/v1/detections/{kept}", headers={"x-api-key": stack.key})
        up.send_signal(signal.SIGINT)
        assert up.wait(STOP_DEADLINE_S) == 0
    assert history.is_success
    assert stack.leftovers(state) == []


def test_down_ends_everything_also_after_guard_and_up_were_both_killed(outer_folder: Path) -> None:
    stack = new_stack(outer_folder / "crashed")
    assert stack.bonafide("up", "--detach").returncode == 0
    state = stack.state()
    guards = [child for child in psutil.Process(state.pid).children() if "scripts.stack.guard" in child.cmdline()]
    for process in (psutil.Process(state.pid), *guards):
        process.suspend()
    for process in (psutil.Process(state.pid), *guards):
        process.kill()
    wait_until(lambda: not is_locked(stack.folder))
    assert stack.leftovers(state)

    answer = stack.bonafide("down")

    assert answer.returncode == 0, answer.stdout
    assert stack.leftovers(state) == []
    assert stack.bonafide("status").returncode == 4
