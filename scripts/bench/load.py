"""The load generator, a process of its own: N callers in a closed loop, each on one connection that is kept alive.

It reads a `Job` as JSON from standard input and writes one event a line: `measuring` when the warm-up is over,
`measured` when the window closes, `report` when the calls under way have come back too.
"""

import asyncio
import resource
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from scripts.bench.multipart import MalformedAnswerError, encode_file, encode_post, read_answer

BOUNDARY: Final = "bonafide-bench-5b1c0f6de8a24a7e"
SEND_BUFFER_BYTES: Final = 1 << 20
HTTP_OK: Final = range(200, 300)
MAX_FAILURES: Final = 20
"""After so many failed calls the run means nothing and stops."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send where, for how long: `path` on host and port, the files in turn, as multipart field `field`.

    The window lasts `seconds`, and longer where a slow server has not yet answered every caller once; `drain_s` bounds
    that, and the wait for the calls under way at the end.

    An answer counts when its status is 2xx and its JSON field `verdict_field` is one of `verdicts`; the numbers under
    `steps_field`, where given, are averaged over the window.
    """

    host: str
    port: int
    path: str
    field: str
    media_type: str
    headers: dict[str, str]
    files: tuple[str, ...]
    callers: int
    warmup_s: float
    seconds: float
    verdict_field: str
    verdicts: tuple[str, ...]
    steps_field: str | None = None
    drain_s: float = 120.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one window saw; `first_failure` says why the first failed call failed."""

    seconds: float
    latencies_s: tuple[float, ...]
    failed: int
    first_failure: str | None
    cpu_s: float
    steps_ms: dict[str, float]


class Window:
    """Collects what comes back between its opening and its closing."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.open = False
        self.stopping = False
        self.latencies_s: list[float] = []
        self.failures: list[str] = []
        self.steps_ms: dict[str, float] = {}

    def answered(self, latency_s: float, status: int, body: bytes) -> None:
        """Check one answer; count it if the window is open."""
        content: Any = None
        if status in HTTP_OK:
            content = msgspec.json.decode(body)
        if not isinstance(content, dict) or content.get(self.job.verdict_field) not in self.job.verdicts:
            self.failures.append(f"status {status}: {body[:300].decode('utf-8', 'replace')}")
            return
        if not self.open:
            return
        self.latencies_s.append(latency_s)
        if self.job.steps_field is not None:
            for step, value in content[self.job.steps_field].items():
                if isinstance(value, (int, float)):
                    self.steps_ms[step] = self.steps_ms.get(step, 0.0) + value


class Caller(asyncio.Protocol):
    """One caller: sends the next request as soon as it has the answer to the last."""

    def __init__(self, requests: Sequence[bytes], first: int, window: Window) -> None:
        self.requests = requests
        self.next = first
        self.window = window
        self.buffer = bytearray()
        self.sent_at = 0.0
        self.transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with a send buffer that takes a whole picture, so that a send is one system call."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP connections have this one
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Gather until the answer is whole, note it, and go on."""
        self.buffer += data
        try:
            found = read_answer(self.buffer)
        except MalformedAnswerError as error:
            self._fail(str(error))
            return
        if found is None:
            return
        answer, taken = found
        del self.buffer[:taken]
        self.window.answered(time.perf_counter() - self.sent_at, answer.status, answer.body)
        if self.window.stopping or len(self.window.failures) >= MAX_FAILURES:
            self._finish()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection closed with a call under way is a failure; nobody asked for that."""
        if not self.done.done():
            self._fail(f"connection closed: {exc}")

    def _send(self) -> None:
        assert self.transport is not None  # noqa: S101 - set before anything is sent
        request = self.requests[self.next]
        self.next = (self.next + 1) % len(self.requests)
        self.sent_at = time.perf_counter()
        self.transport.write(request)

    def _fail(self, why: str) -> None:
        self.window.failures.append(why)
        self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        if self.transport is not None:
            self.transport.close()


def encode_requests(job: Job) -> list[bytes]:
    """One ready-made request a file."""
    host = f"{job.host}:{job.port}"
    return [
        encode_post(
            job.path,
            host,
            encode_file(
                job.field, Path(file).name, Path(file).read_bytes(), media_type=job.media_type, boundary=BOUNDARY
            ),
            boundary=BOUNDARY,
            headers=job.headers,
        )
        for file in job.files
    ]


async def generate(job: Job) -> Report:
    """Run one job; every caller starts elsewhere in the list, so that they do not send the same file together."""
    requests = encode_requests(job)
    window = Window(job)
    loop = asyncio.get_running_loop()
    callers: list[Caller] = []
    for number in range(job.callers):
        first = number * len(requests) // job.callers
        _, caller = await loop.create_connection(
            lambda first=first: Caller(requests, first, window), job.host, job.port
        )
        callers.append(caller)
    everyone = asyncio.gather(*(caller.done for caller in callers))
    await asyncio.wait([everyone], timeout=job.warmup_s)
    emit("measuring")
    cpu_before, started = cpu_seconds(), time.perf_counter()
    window.open = True
    await asyncio.wait([everyone], timeout=job.seconds)
    while len(window.latencies_s) < job.callers and not everyone.done() and time.perf_counter() < started + job.drain_s:
        await asyncio.wait([everyone], timeout=job.seconds / 10)
    window.open, window.stopping = False, True
    seconds, cpu_s = time.perf_counter() - started, cpu_seconds() - cpu_before
    emit("measured")
    async with asyncio.timeout(job.drain_s):
        await everyone
    count = len(window.latencies_s)
    return Report(
        seconds=seconds,
        latencies_s=tuple(window.latencies_s),
        failed=len(window.failures),
        first_failure=window.failures[0] if window.failures else None,
        cpu_s=cpu_s,
        steps_ms={step: total / count for step, total in window.steps_ms.items()} if count else {},
    )


def cpu_seconds() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def emit(event: str, report: Report | None = None) -> None:
    """Write one event as a line of JSON."""
    sys.stdout.buffer.write(msgspec.json.encode({"event": event, "report": report}) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Read the job, run it, report."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    emit("report", asyncio.run(generate(job)))


if __name__ == "__main__":
    main()
