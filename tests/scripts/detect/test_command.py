import asyncio
import json

import pytest
from typer.testing import CliRunner

from scripts.cli import app
from scripts.stack.ports import free_port
from tests.fixtures.clients import DETECTION, answer, problem


@pytest.fixture
def detect(tmp_path, wayward):
    async def call(*arguments, files=("a.jpg", "b.jpg"), url=wayward.url):
        for name in files:
            (tmp_path / name).write_bytes(b"x")
        names = [str(tmp_path / name) for name in files]
        environment = {"BONAFIDE_URL": url, "BONAFIDE_API_KEY": "sk-live-1"}
        command = ["detect", "--concurrency", "1", *arguments, *names]
        return await asyncio.to_thread(CliRunner().invoke, app, command, env=environment)

    return call


async def test_a_verdict_for_every_file_is_a_success(detect, wayward):
    wayward.otherwise = answer()

    done = await detect("--json")

    assert done.exit_code == 0
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["file"].endswith("a.jpg")
    assert second["file"].endswith("b.jpg")
    assert DETECTION.items() <= first.items()


async def test_a_file_without_a_verdict_is_a_failure(detect, wayward):
    wayward.will(answer(), problem(400, "unreadable_media"))

    done = await detect()

    assert done.exit_code == 1
    assert "(unreadable_media)" in done.stdout


async def test_a_fake_can_be_a_failure_of_its_own(detect, wayward):
    wayward.otherwise = answer()

    assert (await detect("--fail-on-fake")).exit_code == 3


async def test_where_nothing_listens_patience_is_spent_once(detect):
    files = [f"{number}.jpg" for number in range(40)]

    done = await asyncio.wait_for(detect("--json", files=files, url=f"http://127.0.0.1:{free_port()}"), 30)

    assert done.exit_code == 1
    assert [json.loads(line)["error"]["code"] for line in done.stdout.splitlines()] == ["unreachable"] * 40


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://example.org", "not an address"])
async def test_a_bad_address_is_a_wrong_call(detect, url):
    assert (await detect(url=url)).exit_code == 2
