"""The control plane alone: key, exact quota, row and verdict, over a Bento that answers at once.

It runs a durable Postgres, the fake image Bento and the gateway of its own, so that what is measured is what the
platform adds to inference: authentication, admission, history, settling and the way through the processes.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import simplejpeg

from gateway.accounts.local import ensure_local_key
from scripts.bench.figures import Summary, summarise
from scripts.bench.gateway_side import START_DEADLINE_S, gateway_environment, lone_gateway
from scripts.bench.load import Job
from scripts.bench.window import measure
from scripts.stack.ports import free_port
from scripts.stack.postgres import Cluster, program
from scripts.stack.running import running

CALLERS: Final = 32
WORKERS: Final = (1, 2)
SIZES: Final = {"4 KB": 4_000, "200 KB": 200_000}
WARMUP_S: Final = 2.0
LONGEST_WINDOW_S: Final = 6.0


def measure_control_plane(
    *, seconds: float, rounds: int, say: Callable[[str], None]
) -> tuple[list[Summary], dict[str, float]]:
    """Requests a second and CPU milliseconds a request by part, for small and large bodies and one or two gateways.

    Raises:
        BenchError: A process did not start, or a call failed.
    """
    summaries: list[Summary] = []
    with tempfile.TemporaryDirectory(prefix="bonafide-bench-") as temporary:
        root = Path(temporary)
        files = {name: _picture(root / f"{size}.jpg", size) for name, size in SIZES.items()}
        cluster = Cluster(folder=root / "cluster", password="made-up-for-the-bench")  # noqa: S106 - Its own cluster.
        server = program(cluster, dict(os.environ))
        with running(server, log=root / "postgres.log", run_id=root.name, deadline_s=START_DEADLINE_S) as postgres:
            for workers in WORKERS:
                with _gateway(root, cluster, workers) as (port, gateway, bento):
                    groups = {"gateway": [gateway], "postgres": [postgres.pid], "fake bento": [bento]}
                    key = asyncio.run(ensure_local_key(cluster.url(), rotate=True)) or ""
                    for name, file in files.items():
                        window_s = min(seconds, LONGEST_WINDOW_S)
                        measured = [measure(_job(port, key, file, window_s), groups) for _ in range(rounds)]
                        summary = summarise(_side(workers, name), CALLERS, measured)
                        say(f"{summary.side}: {summary.throughput:.0f} requests/s")
                        summaries.append(summary)
    return summaries, _figures(summaries)


def _figures(summaries: list[Summary]) -> dict[str, float]:
    small = [each for each in summaries if each.side.endswith(next(iter(SIZES)))]
    return {"control_plane_rps": max(each.throughput for each in small)}


def _side(workers: int, size: str) -> str:
    return f"control plane, {workers} gateway process{'es' if workers > 1 else ''}, bodies of {size}"


def _job(port: int, key: str, file: Path, seconds: float) -> Job:
    return Job(
        host="127.0.0.1",
        port=port,
        path="/v1/detections",
        field="file",
        media_type="image/jpeg",
        headers={"x-api-key": key},
        files=(str(file),),
        callers=CALLERS,
        warmup_s=WARMUP_S,
        seconds=seconds,
        verdict_field="verdict",
        verdicts=("REAL", "FAKE", "UNCERTAIN"),
    )


def _picture(path: Path, size: int) -> Path:
    """A small JPEG, filled up to `size` bytes behind its end."""
    jpeg = simplejpeg.encode_jpeg(np.full((16, 16, 3), 128, np.uint8))
    path.write_bytes(jpeg + bytes(size - len(jpeg)))
    return path


@contextmanager
def _gateway(root: Path, cluster: Cluster, workers: int) -> Generator[tuple[int, int, int]]:
    """Run gateway and fake Bento: the gateway's port, its process, and the Bento's process."""
    bento_port = free_port()
    settings = {"IMAGE_BENTO_URL": f"http://127.0.0.1:{bento_port}", "GATEWAY_WORKERS": str(workers)}
    bento_command = [sys.executable, "-m", "gateway.detections.fakes", "image", str(bento_port)]
    environment = gateway_environment(root, cluster, settings)
    with (root / "bento.log").open("wb") as log:
        bento = subprocess.Popen(bento_command, env=environment, stdout=log, stderr=log)
        try:
            with lone_gateway(root, cluster, settings) as (port, gateway):
                yield port, gateway, bento.pid
        finally:
            bento.terminate()
            bento.wait(START_DEADLINE_S)
