"""A gateway of the bench's own over a cluster of its own, without the rest of the platform."""

import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from scripts.bench.errors import BenchError
from scripts.stack.ports import free_port
from scripts.stack.postgres import Cluster

START_DEADLINE_S: Final = 60.0


class GatewayFailedError(BenchError):
    """The gateway did not become ready."""


def gateway_environment(root: Path, cluster: Cluster, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a gateway over `cluster`; `settings` are named without their prefix."""
    fixed = {
        "DATABASE_URL": cluster.url(),
        "BENTO_TOKEN": "made-up-token-of-the-measurement",
        "REFERENCE_KEY": "made-up-reference-key-of-the-measurement",
        "TOKEN_KEY": "made-up-token-key-of-the-measurement",
        "SPOOL": str(root / "spool"),
    }
    return os.environ | {f"BONAFIDE_{name}": value for name, value in (fixed | dict(settings)).items()}


@contextmanager
def lone_gateway(root: Path, cluster: Cluster, settings: Mapping[str, str]) -> Generator[tuple[int, int]]:
    """Run a gateway until the block ends: its port and its process. Raises `GatewayFailedError`."""
    port = free_port()
    environment = gateway_environment(root, cluster, {**settings, "GATEWAY_PORT": str(port)})
    with (root / "gateway.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "gateway"], env=environment, stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/health/ready", process)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(START_DEADLINE_S)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise GatewayFailedError(f"no answer from {url}")
