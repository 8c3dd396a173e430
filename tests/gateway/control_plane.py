"""What the gateway itself costs: key, exact quota, row and verdict, over a Bento that answers at once.

    python -m tests.gateway.control_plane --callers 16 --requests 4000 --workers 1

Starts a durable Postgres, a fake image Bento and the gateway of its own, and prints requests a second, latencies and
CPU milliseconds per request of each part. It is a measurement, not a test.
"""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

from gateway.accounts.local import ensure_local_key
from scripts.stack.postgres import Cluster, program
from scripts.stack.running import running
from tests.fixtures.gateway import JPEG, free_port

WARM_UP = 30


@contextlib.contextmanager
def process(*arguments: str, environment: dict[str, str]) -> Iterator[psutil.Process]:
    """A Python process of ours, stopped at the end."""
    started = subprocess.Popen([sys.executable, *arguments], env=os.environ | environment, stdout=subprocess.DEVNULL)
    try:
        yield psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait(30)


def cpu_s(root: psutil.Process) -> float:
    """CPU seconds that a process and its children have used."""
    times = [one.cpu_times() for one in [root, *root.children(recursive=True)]]
    return sum(one.user + one.system for one in times)


def request_bytes(key: str, size: int) -> bytes:
    """A whole HTTP request with a picture of `size` bytes."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    body = head + JPEG + b"\x00" * max(0, size - len(JPEG)) + b"\r\n--b--\r\n"
    return (
        f"POST /v1/detections HTTP/1.1\r\nhost: gateway\r\nx-api-key: {key}\r\n"
        f"content-type: multipart/form-data; boundary=b\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


async def load(port: int, request: bytes, callers: int, requests: int) -> list[float]:
    """Send requests over kept-alive connections; the seconds that each took."""
    seconds: list[float] = []

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests // callers):
            start = time.perf_counter()
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            seconds.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*(caller() for _ in range(callers)))
    return seconds


def wait_until_ready(port: int) -> None:
    """Wait for the gateway's own word."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2):
            return
        time.sleep(0.1)
    raise TimeoutError("The gateway does not become ready.")


def measure(cluster: Cluster, postgres: psutil.Process, spool: Path, options: argparse.Namespace) -> str:
    """Run the load and describe what came out."""
    port, bento_port = free_port(), free_port()
    environment = {
        "BONAFIDE_DATABASE_URL": cluster.url(),
        "BONAFIDE_BENTO_TOKEN": "made-up-token-of-the-measurement",
        "BONAFIDE_REFERENCE_KEY": "made-up-reference-key-of-the-measurement",
        "BONAFIDE_TOKEN_KEY": "made-up-token-key-of-the-measurement",
        "BONAFIDE_SPOOL": str(spool),
        "BONAFIDE_IMAGE_BENTO_URL": f"http://127.0.0.1:{bento_port}",
        "BONAFIDE_GATEWAY_PORT": str(port),
        "BONAFIDE_GATEWAY_WORKERS": str(options.workers),
    }
    fake = process("-m", "gateway.detections.fakes", "image", str(bento_port), environment=environment)
    with fake as bento, process("-m", "gateway", environment=environment) as gateway:
        wait_until_ready(port)
        key = asyncio.run(ensure_local_key(cluster.url())) or ""
        request = request_bytes(key, options.size)
        asyncio.run(load(port, request, options.callers, options.callers * WARM_UP))
        parts = {"gateway": gateway, "postgres": postgres, "fake bento": bento}
        before = {name: cpu_s(part) for name, part in parts.items()}
        start = time.perf_counter()
        seconds = sorted(asyncio.run(load(port, request, options.callers, options.requests)))
        elapsed = time.perf_counter() - start
        costs = {name: 1000 * (cpu_s(part) - before[name]) / len(seconds) for name, part in parts.items()}
    count = len(seconds)
    return (
        f"{count / elapsed:.0f} requests/s with {options.callers} callers of {options.size} bytes; "
        f"p50 {1000 * seconds[count // 2]:.1f} ms, p99 {1000 * seconds[count * 99 // 100]:.1f} ms; CPU ms a request: "
        + ", ".join(f"{name} {cost:.2f}" for name, cost in costs.items())
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--size", type=int, default=200_000, help="bytes of the picture")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        cluster = Cluster(folder=root / "cluster", password="made-up-for-the-measurement")
        server = program(cluster, dict(os.environ))
        with running(server, log=root / "log", run_id=root.name, deadline_s=60) as postgres:
            sys.stdout.write(measure(cluster, psutil.Process(postgres.pid), root / "spool", options) + "\n")


if __name__ == "__main__":
    main()
