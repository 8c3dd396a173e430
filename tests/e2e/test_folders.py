"""A folder handed over from the command line to the whole platform: stopped in the middle, and gone on with."""

import json
import signal
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.fixtures.stack import Stack, noise_jpeg, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FILES = 12


def test_twelve_files_are_twelve_detections_however_often_the_command_is_stopped(stack: Stack, tmp_path: Path) -> None:
    for number in range(FILES):
        (tmp_path / f"{number:02}.jpg").write_bytes(noise_jpeg(320 + number, 240))
    with httpx.Client(base_url=stack.url, timeout=60) as http:
        answer = http.post("/signup", json={"email": f"{uuid4().hex}@example.org", "password": "correct horse battery"})
        key = answer.json()["api_key"]
        http.headers["x-api-key"] = key
        words = ("detect", "--async", str(tmp_path), "--url", stack.url, "--key", key, "--concurrency", "1", "--json")

        first = stack.open(*words)
        wait_until(lambda: len(http.get("/v1/uploads", params={"status": "ready"}).json()["data"]) >= 3)
        first.send_signal(signal.SIGINT)
        said, _ = first.communicate(timeout=60)
        assert first.returncode == 130, said

        second = stack.open(*words)
        wait_until(lambda: bool(http.get("/v1/batches").json()["data"]))
        second.send_signal(signal.SIGINT)
        second.communicate(timeout=60)

        done = stack.bonafide(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        results = [json.loads(line) for line in done.stdout.splitlines()]
        assert sorted(one["file"] for one in results) == [f"{number:02}.jpg" for number in range(FILES)]
        assert all(one["detection"]["verdict"] for one in results)
        assert http.get("/v1/usage").json()["day"]["used"] == FILES
        assert len(http.get("/v1/detections", params={"limit": 100}).json()["data"]) == FILES
