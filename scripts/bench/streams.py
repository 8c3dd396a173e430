"""Many jobs followed live at once: what an open stream costs, and how soon everybody hears of an event.

One gateway process of the bench's own over a durable Postgres, a stream for each job, and events that are written as
workers write them. The readers are one process beside it, which takes its part of the cores.
"""

import asyncio
import os
import random
import re
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from gateway.accounts.local import ensure_local_key
from gateway.keys.secrets import digest_key
from scripts.bench.errors import BenchError
from scripts.bench.figures import percentile
from scripts.bench.gateway_side import START_DEADLINE_S, lone_gateway
from scripts.bench.resources import pss_bytes
from scripts.stack.postgres import Cluster, program
from scripts.stack.running import running

EVENTS_A_SECOND: Final = 300
ROUNDS: Final = 3
_AT_ONCE: Final = 50
_LONGEST_S: Final = 30.0
_SPARE_FILES: Final = 200
_SEED: Final = 20_260
_NUMBER: Final = re.compile(rb'"n": (\d+)')

_ADMIT: Final = "SELECT detection_id FROM admit(%s::text::jsonb) ORDER BY place"
_ACCOUNT: Final = "SELECT account_id, id FROM api_keys WHERE digest = %s"
_OPEN: Final = "SELECT open_jobs(%s, 'api', %s::text::jsonb)"
_NOTE: Final = "SELECT note_job(%s, 'progress', jsonb_build_object('n', %s::integer))"
_NOTE_ALL: Final = "SELECT note_job(id, 'progress', jsonb_build_object('n', %s::integer)) FROM jobs"
_CONNECTIONS: Final = """
    SELECT count(*), count(*) FILTER (WHERE application_name = 'bonafide-events')
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class StreamsFailedError(BenchError):
    """Streams could not be opened, or events did not arrive."""


class StreamTimes(msgspec.Struct, frozen=True, kw_only=True):
    """What following costs.

    `p50_ms` … `p99_ms`: from the commit of an event to its receipt, events coming one by one; `burst_ms`: from the
    commit of one event for every job at once to the last receipt. `connections`: those of the gateway to Postgres
    before the first stream and with all of them, `listening` of them for events.
    """

    streams: int
    events: int
    kib_per_stream: float
    opened_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    burst_ms: float
    connections_before: int
    connections: int
    listening: int


@dataclass(slots=True)
class Receipts:
    """When the events were committed and received, by their numbers; of an event for all jobs the last receipt."""

    expected: dict[int, int] = field(default_factory=dict)
    committed: dict[int, float] = field(default_factory=dict)
    received: dict[int, float] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    def expect(self, number: int, times: int = 1) -> None:
        """Wait for so many receipts of an event, too."""
        self.expected[number] = times
        self.complete.clear()

    def take(self, number: int) -> None:
        """An event was received."""
        self.received[number] = time.perf_counter()
        left = self.expected.get(number, 0) - 1
        if left > 0:
            self.expected[number] = left
        else:
            self.expected.pop(number, None)
        if not self.expected:
            self.complete.set()

    def delay(self, number: int) -> float:
        """Seconds from the commit to the (last) receipt; none where the receipt was faster than the commit's answer."""
        return max(0.0, self.received[number] - self.committed[number])


def measure_streams(streams: int, *, folder: Path, say: Callable[[str], None]) -> StreamTimes:
    """Open so many streams and send events. The cluster is made under `folder`.

    Raises:
        BenchError: The gateway did not start, a stream was refused, or an event did not arrive.
    """
    _allow_files(streams + _SPARE_FILES)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"LIVE_STREAMS": str(streams), "LIVE_STREAMS_PER_ACCOUNT": str(streams), "ACCESS_LOG": "false"}
    with tempfile.TemporaryDirectory(prefix="bonafide-bench-", dir=folder) as temporary:
        root = Path(temporary)
        cluster = Cluster(folder=root / "cluster", password="made-up-for-the-bench")  # noqa: S106 - Its own cluster.
        server = program(cluster, dict(os.environ))
        with (
            running(server, log=root / "postgres.log", run_id=root.name, deadline_s=START_DEADLINE_S),
            lone_gateway(root, cluster, settings) as (port, gateway),
        ):
            return asyncio.run(_measure(streams, cluster, port, gateway, say))


async def _measure(streams: int, cluster: Cluster, port: int, gateway: int, say: Callable[[str], None]) -> StreamTimes:
    key = await ensure_local_key(cluster.url(), rotate=True) or ""
    receipts = Receipts()
    async with (
        await psycopg.AsyncConnection.connect(cluster.conninfo("bonafide"), autocommit=True) as database,
        AsyncExitStack() as stack,
    ):
        jobs = await _make_jobs(database, key, streams)
        # One stream first, so that what a first one starts is not counted as its price.
        await stack.enter_async_context(_Reader(port, key, jobs[0], receipts))
        before = pss_bytes({"gateway": [gateway]})["gateway"]
        connections_before, _ = await _connections(database)
        say(f"opening {streams} streams")
        begun = time.perf_counter()
        for first in range(1, streams, _AT_ONCE):
            readers = [_Reader(port, key, job, receipts) for job in jobs[first : first + _AT_ONCE]]
            await asyncio.gather(*(stack.enter_async_context(one) for one in readers))
        opened_s = time.perf_counter() - begun
        grown = pss_bytes({"gateway": [gateway]})["gateway"] - before
        say("sending events")
        count = await _send_one_by_one(database, jobs, receipts)
        await _send(database, receipts, count, _NOTE_ALL, (count,), times=streams)
        await _arrive(receipts)
        connections, listening = await _connections(database)
    delays = [receipts.delay(number) for number in range(count)]
    return StreamTimes(
        streams=streams,
        events=count + streams,
        kib_per_stream=grown / 1024 / max(1, streams - 1),
        opened_s=opened_s,
        p50_ms=1000 * percentile(delays, 50),
        p95_ms=1000 * percentile(delays, 95),
        p99_ms=1000 * percentile(delays, 99),
        burst_ms=1000 * receipts.delay(count),
        connections_before=connections_before,
        connections=connections,
        listening=listening,
    )


async def _send_one_by_one(database: psycopg.AsyncConnection[Any], jobs: Sequence[str], receipts: Receipts) -> int:
    """Some events for each job, in random order and at a steady pace; returns how many."""
    order = list(jobs) * ROUNDS
    random.Random(_SEED).shuffle(order)  # noqa: S311 - Which job is next.
    begun = time.perf_counter()
    for number, job in enumerate(order):
        await asyncio.sleep(max(0.0, begun + number / EVENTS_A_SECOND - time.perf_counter()))
        await _send(database, receipts, number, _NOTE, (job, number))
    await _arrive(receipts)
    return len(order)


async def _send(
    database: psycopg.AsyncConnection[Any],
    receipts: Receipts,
    number: int,
    statement: str,
    parameters: tuple[object, ...],
    times: int = 1,
) -> None:
    receipts.expect(number, times)
    await database.execute(statement.encode(), parameters)
    receipts.committed[number] = time.perf_counter()


async def _arrive(receipts: Receipts) -> None:
    try:
        async with asyncio.timeout(_LONGEST_S):
            await receipts.complete.wait()
    except TimeoutError as error:
        raise StreamsFailedError(f"{len(receipts.expected)} events did not arrive") from error


class _Reader:
    """One open stream; it hears of every event until it is closed."""

    def __init__(self, port: int, key: str, job: str, receipts: Receipts) -> None:
        self._port = port
        self._request = (
            f"GET /v1/jobs/{job}/events HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {key}\r\n"
            "accept: text/event-stream\r\n\r\n"
        )
        self._receipts = receipts
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> None:
        async with asyncio.timeout(_LONGEST_S):
            reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writer.write(self._request.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise StreamsFailedError(head.decode(errors="replace").partition("\r\n")[0])
            await reader.readuntil(b"event: queued\n")
        self._reading = asyncio.create_task(self._read(reader))

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
        if self._writer is not None:
            self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            piece = await reader.readuntil(b"\n\n")
            for number in _NUMBER.findall(piece):
                self._receipts.take(int(number))


async def _make_jobs(database: psycopg.AsyncConnection[Any], key: str, count: int) -> list[str]:
    """Queued jobs of the key's account, by the same functions of the database that accept them."""
    digest = digest_key(key)
    row = await (await database.execute(_ACCOUNT, (digest,))).fetchone()
    if row is None:
        raise StreamsFailedError("the key of the bench is not known")
    account_id, key_id = row
    ids = [
        str(one)
        for (one,) in await (await database.execute("SELECT uuidv7() FROM generate_series(1, %s)", (count,))).fetchall()
    ]
    medium = {"modality": "image", "filename": "a.jpg", "media_type": "image/jpeg", "size_bytes": 10}
    common = {**medium, "key_digest": digest.hex(), "address": "127.0.0.1", "model": "m", "request_id": "bench"}
    orders = [
        {**common, "place": place, "job_id": one, "attempt": one, "channel": "job", "charge": 0}
        for place, one in enumerate(ids)
    ]
    async with database.transaction():
        rows = await (await database.execute(_ADMIT, (msgspec.json.encode(orders).decode(),))).fetchall()
        documents = [
            {"id": one, "key_id": str(key_id), "detection_id": str(detection), "model": "m", "request_id": "bench"}
            for one, (detection,) in zip(ids, rows, strict=True)
        ]
        await database.execute(_OPEN, (account_id, msgspec.json.encode(documents).decode()))
    return ids


async def _connections(database: psycopg.AsyncConnection[Any]) -> tuple[int, int]:
    row = await (await database.execute(_CONNECTIONS)).fetchone()
    return row or (0, 0)


def _allow_files(needed: int) -> None:
    """Let this process and its children have as many open files as streams need. Raises StreamsFailedError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise StreamsFailedError(f"{needed} open files are needed, and {hard} allowed: see `ulimit -n`")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
