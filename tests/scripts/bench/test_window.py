import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scripts.bench.load import Job
from scripts.bench.window import LoadFailedError, measure

COST_S = 0.01
"""What an answer costs in CPU: far above what the kernel counts in, so that a window shows it on any machine."""


class Judge(BaseHTTPRequestHandler):
    """Answers every POST with what its server was given, after `COST_S` of work."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        ends = time.thread_time() + COST_S
        while time.thread_time() < ends:
            pass
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def judge():
    with ThreadingHTTPServer(("127.0.0.1", 0), Judge) as server:
        server.answer = b'{"verdict": "REAL"}'
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def job(judge, tmp_path):
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"picture" * 10_000)
    return Job(
        host="127.0.0.1",
        port=judge.server_address[1],
        path="/",
        field="file",
        media_type="image/jpeg",
        headers={},
        files=(str(picture),),
        callers=2,
        warmup_s=0.1,
        seconds=0.5,
        verdict_field="verdict",
        verdicts=("REAL",),
    )


def test_a_round_has_the_servers_cpu_and_the_batches_of_its_window(job):
    counts = iter([(100, 50), (400, 150)])

    measured = measure(job, {"server": [os.getpid()]}, batches=lambda: next(counts))

    assert len(measured.latencies_s) > 10
    assert 0.5 <= measured.seconds < 2
    assert COST_S < measured.cpu_s["server"] < 2
    assert 0 < measured.generator_cpu_s < measured.seconds
    assert measured.mean_batch == 3


def test_a_failed_call_ends_the_run(job, judge):
    judge.answer = b'{"verdict": "NEITHER"}'

    with pytest.raises(LoadFailedError, match="NEITHER"):
        measure(job, {"server": [os.getpid()]})


def test_nobody_listening_ends_the_run(job, judge):
    judge.shutdown()
    judge.server_close()

    with pytest.raises(LoadFailedError, match="ended early"):
        measure(job, {"server": [os.getpid()]})
