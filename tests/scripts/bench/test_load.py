import asyncio
import contextlib
import json

import pytest

from scripts.bench.load import Job, generate


class Server:
    """A real HTTP server on a free port that answers what `reply` says and counts connections and calls."""

    def __init__(self, reply):
        self.reply = reply
        self.connections = 0
        self.calls = 0

    @contextlib.asynccontextmanager
    async def running(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                self.calls += 1
                await asyncio.sleep(0.005)
                status, body = self.reply
                content = json.dumps(body).encode()
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
        writer.close()
        await writer.wait_closed()


@pytest.fixture
def job(tmp_path):
    pictures = [tmp_path / f"{number}.jpg" for number in range(3)]
    for picture in pictures:
        picture.write_bytes(picture.name.encode() * 50_000)

    def make(port):
        return Job(
            host="127.0.0.1",
            port=port,
            path="/detect",
            field="file",
            media_type="image/jpeg",
            headers={},
            files=tuple(str(picture) for picture in pictures),
            callers=4,
            warmup_s=0.1,
            seconds=0.4,
            verdict_field="verdict",
            verdicts=("REAL", "FAKE"),
            steps_field="timings",
            drain_s=5,
        )

    return make


async def test_callers_keep_their_connections_and_every_answer_is_counted(job):
    server = Server((201, {"verdict": "REAL", "timings": {"decode_ms": 3.0}}))

    async with server.running() as port:
        report = await generate(job(port))

    assert report.failed == 0
    assert server.connections == 4
    assert 4 < len(report.latencies_s) < server.calls
    assert min(report.latencies_s) >= 0.005
    assert report.steps_ms == {"decode_ms": pytest.approx(3)}


@pytest.mark.parametrize("reply", [(200, {"verdict": "PERHAPS"}), (429, {"verdict": "REAL"}), (200, ["REAL"])])
async def test_answers_without_a_verdict_are_failures_and_end_the_run(job, reply):
    async with Server(reply).running() as port:
        report = await generate(job(port))

    assert report.failed >= 20
    assert report.latencies_s == ()
    assert str(reply[0]) in report.first_failure
