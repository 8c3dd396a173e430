"""Starts and stops side (b), the comparison server, as a process of its own."""

import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from scripts.bench.errors import BenchError
from scripts.bench.resources import Groups
from scripts.stack.ports import free_port

APP: Final = "scripts.bench.keras_server:create_app"
START_DEADLINE_S: Final = 240.0
"""TensorFlow, torch and librosa take their time to import, more so on a busy machine."""
FIRST_ANSWER_S: Final = 120.0


class ServerFailedError(BenchError):
    """The comparison server did not start; its log says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a server answers and which processes it is made of."""

    host: str
    port: int
    groups: Groups

    @property
    def url(self) -> str:
        """Address without a trailing slash."""
        return f"http://{self.host}:{self.port}"


@contextmanager
def keras_server(log: Path, picture: Path) -> Generator[Server]:
    """Run the server until the block ends; it has answered `picture` once when the block begins.

    Raises:
        ServerFailedError: It ended or did not answer in time.
    """
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", APP]
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen([*command, *options], stdout=output, stderr=subprocess.STDOUT)
        server = Server(host="127.0.0.1", port=port, groups={"server": [process.pid]})
        try:
            _wait(process, server, log)
            with picture.open("rb") as content:
                first = httpx.post(f"{server.url}/predict_image", files={"file": content}, timeout=FIRST_ANSWER_S)
            first.raise_for_status()
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], server: Server, log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerFailedError(f"the comparison server ended with {process.returncode}; see {log}")
        try:
            if httpx.get(f"{server.url}/health", timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise ServerFailedError(f"the comparison server did not answer within {START_DEADLINE_S:.0f} s; see {log}")
