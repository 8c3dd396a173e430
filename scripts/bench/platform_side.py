"""Starts and stops side (c), the whole platform, as a user would: in a data folder and on ports of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psycopg

from scripts.bench.errors import BenchError
from scripts.bench.keras_side import Server
from scripts.stack.folder import DataFolder
from scripts.stack.ports import free_port
from scripts.stack.postgres import Cluster
from scripts.stack.state import read_state

MEBIBYTE: Final = 1024 * 1024
VIDEO_LIMIT: Final = 600 * MEBIBYTE
"""Above the 500 MB upload that the bench sends."""
UNREACHED_LIMIT: Final = 2_000_000_000
"""A real quota, counted like any other, that no run uses up."""
UP_DEADLINE_S: Final = 300.0
DOWN_DEADLINE_S: Final = 90.0
PORTS: Final = ("GATEWAY", "IMAGE", "VIDEO", "AUDIO", "TRITON_HTTP", "TRITON_GRPC", "TRITON_METRICS")


class PlatformError(BenchError):
    """The platform did not start, or its account could not be made; its logs say why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A running platform: the gateway, the key of an ordinary account, Triton's metrics, and how long starting took."""

    gateway: Server
    key: str
    metrics_url: str
    ready_s: float


@contextmanager
def platform(home: Path) -> Generator[Platform]:
    """Run the platform until the block ends. Raises `PlatformError` where it does not start."""
    ports = {name: free_port() for name in PORTS}
    environment = {
        **os.environ,
        "BONAFIDE_HOME": str(home),
        "BONAFIDE_VIDEO_MAX_BYTES": str(VIDEO_LIMIT),
        **{f"BONAFIDE_{name}_PORT": str(port) for name, port in ports.items()},
    }
    started = time.perf_counter()
    try:
        _bonafide("up", "--detach", environment=environment, deadline_s=UP_DEADLINE_S)
        ready_s = time.perf_counter() - started
        url = f"http://127.0.0.1:{ports['GATEWAY']}"
        yield Platform(
            gateway=Server(host="127.0.0.1", port=ports["GATEWAY"], groups=find_groups(home)),
            key=_make_account(url, home),
            metrics_url=f"http://127.0.0.1:{ports['TRITON_METRICS']}/metrics",
            ready_s=ready_s,
        )
    finally:
        _bonafide("down", environment=environment, deadline_s=DOWN_DEADLINE_S)


def find_groups(home: Path) -> dict[str, list[int]]:
    """The first process of every part of the platform that runs in the data folder `home`, and its supervisor.

    Raises:
        PlatformError: No platform runs there.
    """
    state = read_state(DataFolder(home))
    if state is None or not state.ready:
        raise PlatformError(f"no platform is ready in {home}")
    return {"supervisor": [state.pid], **{name: [process.pid] for name, process in state.processes.items()}}


def count_batches(metrics_url: str, model: str) -> tuple[int, int]:
    """Inferences that succeeded and batches that were run for `model` so far, over its versions."""
    return read_counts(httpx.get(metrics_url, timeout=10).raise_for_status().text, model)


def read_counts(metrics: str, model: str) -> tuple[int, int]:
    """The same from Triton's metrics in the Prometheus text format."""
    return _counter(metrics, "nv_inference_count", model), _counter(metrics, "nv_inference_exec_count", model)


def _counter(text: str, name: str, model: str) -> int:
    mark = f'model="{model}"'
    return sum(
        round(float(line.rpartition(" ")[2]))
        for line in text.splitlines()
        if line.startswith(f"{name}{{") and mark in line
    )


def _make_account(url: str, home: Path) -> str:
    """The key of a new account, made as anybody makes one, with limits of its own that no run reaches."""
    account = {"email": f"bench-{os.urandom(6).hex()}@example.com", "password": os.urandom(16).hex()}
    answer = httpx.post(f"{url}/signup", json=account, timeout=30)
    if not answer.is_success:
        raise PlatformError(f"no account: {answer.status_code} {answer.text[:300]}")
    folder = DataFolder(home)
    cluster = Cluster(folder=folder.postgres, password=folder.secret("database-password"))
    with psycopg.connect(cluster.conninfo()) as database:
        database.execute(
            "UPDATE accounts SET daily_limit = %(limit)s, burst_limit = %(limit)s WHERE email = %(email)s",
            {"limit": UNREACHED_LIMIT, "email": account["email"]},
        )
    return answer.json()["api_key"]


def _bonafide(*arguments: str, environment: Mapping[str, str], deadline_s: float) -> None:
    """Run the project's own command. Raises `PlatformError` with its words where it fails."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("bonafide")), *arguments],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=deadline_s,
        check=False,
    )
    if done.returncode:
        raise PlatformError(f"bonafide {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-2000:]}")
