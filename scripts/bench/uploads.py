"""A large file sent to a signed address of the gateway: how fast it goes, and what it moves of the gateway's memory."""

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from gateway.accounts.local import ensure_local_key
from scripts.bench.errors import BenchError
from scripts.bench.gateway_side import START_DEADLINE_S, lone_gateway
from scripts.bench.resources import MemoryWatch
from scripts.stack.postgres import Cluster, program
from scripts.stack.running import running

PART_BYTES: Final = 64 * 1024 * 1024
MEGABYTE: Final = 1e6
_PIECE: Final = 1024 * 1024
_TIMEOUT: Final = httpx.Timeout(600)
# An MP4 by its first bytes, which is all that is looked at before it is judged.
_HEAD: Final = bytes.fromhex("000000206674797069736f6d0000020069736f6d69736f3261766331") + b"mp41"


class UploadFailedError(BenchError):
    """The gateway refused what was sent."""


class UploadRun(msgspec.Struct, frozen=True, kw_only=True):
    """One upload. `growth_mb`: the most that the gateway's memory (PSS) was above what it was before, in MB."""

    title: str
    size: int
    sending_s: float
    checking_s: float
    growth_mb: float


def measure_uploads(size: int, *, folder: Path, say: Callable[[str], None]) -> list[UploadRun]:
    """Send `size` bytes in one piece, and then in parts that are joined; the store is made under `folder`.

    Raises:
        BenchError: The gateway did not start, or refused the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bonafide-bench-", dir=folder) as temporary:
        root = Path(temporary)
        cluster = Cluster(folder=root / "cluster", password="made-up-for-the-bench")  # noqa: S106 - Its own cluster.
        server = program(cluster, dict(os.environ))
        with (
            running(server, log=root / "postgres.log", run_id=root.name, deadline_s=START_DEADLINE_S),
            lone_gateway(root, cluster, {"ACCESS_LOG": "false"}) as (port, gateway),
        ):
            key = asyncio.run(ensure_local_key(cluster.url(), rotate=True)) or ""
            base = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=base, headers={"x-api-key": key}, timeout=_TIMEOUT) as http:
                # A small one first, so that what a first one loads is not counted as the price of size.
                _send(http, _PIECE, part_bytes=_PIECE)
                runs: list[UploadRun] = []
                for title, part_bytes in (("in one piece", size), ("in parts", PART_BYTES)):
                    say(f"sending {size / MEGABYTE:,.0f} MB {title}")
                    with MemoryWatch({"gateway": [gateway]}) as watch:
                        sending_s, checking_s = _send(http, size, part_bytes=part_bytes)
                    runs.append(
                        UploadRun(
                            title=title,
                            size=size,
                            sending_s=sending_s,
                            checking_s=checking_s,
                            growth_mb=watch.growth["gateway"] / MEGABYTE,
                        )
                    )
                return runs


def upload_figures(runs: Sequence[UploadRun]) -> dict[str, float]:
    """The figures that are held to a bound."""
    return {"signed_upload_mb": max(run.growth_mb for run in runs)}


def _send(http: httpx.Client, size: int, *, part_bytes: int) -> tuple[float, float]:
    """Send a file of so many bytes; returns the seconds that sending took, and completing."""
    announced = {"filename": "long.mp4", "size_bytes": size, "part_bytes": part_bytes}
    upload = _taken(http.post("/v1/uploads", json=announced))
    parts: list[dict[str, Any]] = upload["parts"] or [{"size": size, "url": upload["url"]}]
    begun, start = time.perf_counter(), 0
    for part in parts:
        address = urlsplit(part["url"])
        headers = {"content-length": str(part["size"])}
        content = _bytes(start, part["size"])
        _taken(http.put(f"{address.path}?{address.query}", content=content, headers=headers))
        start += part["size"]
    sent = time.perf_counter()
    summed = hashlib.sha256()
    for piece in _bytes(0, size):
        summed.update(piece)
    asked = time.perf_counter()
    _taken(http.post(f"/v1/uploads/{upload['id']}/complete", json={"sha256": summed.hexdigest()}))
    return sent - begun, time.perf_counter() - asked


def _bytes(start: int, size: int) -> Generator[bytes]:
    """A stretch of an endless file that begins as a video does."""
    block = bytes(range(256)) * (_PIECE // 256)
    end = start + size
    while start < end:
        piece = block[start % _PIECE :][: end - start]
        if start < len(_HEAD):
            piece = _HEAD[start:] + piece[len(_HEAD) - start :]
        yield piece
        start += len(piece)


def _taken(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise UploadFailedError(f"{answer.status_code}: {answer.text[:300]}")
    return answer.json()
