import io
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from scripts.detect import client
from scripts.detect.client import Options, detect
from scripts.detect.sources import Source

SOURCE = Source(label="clip", filename="clip.wav", path=None, data=b"RIFF")


@dataclass
class Gateway:
    """A gateway that gives its prepared answers one after the other, and keeps what it was sent."""

    answers: list[tuple[int, dict, dict]]
    received: list[dict] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.received.append(
            {
                "key": request.headers["x-api-key"],
                "name": form["file"].filename,
                "bytes": form["file"].file.read(),
                "modality": form.get("modality"),
            }
        )
        status, body, headers = self.answers.pop(0)
        return web.json_response(body, status=status, headers=headers)


@pytest.fixture
async def ask():
    runners = []

    async def call(gateway: Gateway, **options):
        app = web.Application()
        app.router.add_post("/v1/detections", gateway.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as session:
            return await detect(session, SOURCE, Options(url=f"http://127.0.0.1:{port}/", key="sk-live-1", **options))

    yield call
    for runner in runners:
        await runner.cleanup()


async def test_sends_the_bytes_the_key_and_the_options(ask):
    gateway = Gateway([(201, {"verdict": "REAL"}, {})])

    outcome = await ask(gateway, modality="audio")

    assert outcome.detection == {"verdict": "REAL"}
    assert gateway.received == [{"key": "sk-live-1", "name": "clip.wav", "bytes": b"RIFF", "modality": "audio"}]


async def test_a_refusal_gives_its_code_and_detail(ask):
    outcome = await ask(Gateway([(400, {"code": "unreadable_media", "detail": "The file is damaged."}, {})]))

    assert (outcome.detection, outcome.code, outcome.message) == (None, "unreadable_media", "The file is damaged.")


async def test_an_unavailable_gateway_is_asked_again(ask):
    gateway = Gateway([(503, {"code": "inference_unavailable"}, {"Retry-After": "0"}), (201, {"verdict": "FAKE"}, {})])

    outcome = await ask(gateway)

    assert outcome.detection == {"verdict": "FAKE"}
    assert [call["bytes"] for call in gateway.received] == [b"RIFF", b"RIFF"]


async def test_a_spent_daily_quota_is_not_waited_for(ask):
    gateway = Gateway([(429, {"code": "quota_exceeded", "detail": "Used up."}, {"Retry-After": "40000"})])

    outcome = await ask(gateway)

    assert outcome.code == "quota_exceeded"
    assert len(gateway.received) == 1


async def test_attempts_are_limited(ask, monkeypatch):
    monkeypatch.setattr(client, "MAX_RETRY_DELAY_S", 0.01)
    gateway = Gateway([(503, {"code": "overloaded"}, {})] * 10)

    outcome = await ask(gateway)

    assert outcome.code == "overloaded"
    assert len(gateway.received) == client.MAX_ATTEMPTS


async def test_nothing_listening_is_an_outcome_not_a_traceback():
    async with aiohttp.ClientSession() as session:
        outcome = await detect(session, SOURCE, Options(url="http://127.0.0.1:9", key="k"))

    assert outcome.code == "unreachable"


def test_the_source_is_reopened_for_each_attempt(tmp_path):
    file = tmp_path / "a.jpg"
    file.write_bytes(b"abc")
    source = Source(label="a", filename="a.jpg", path=file)

    with source.open() as first, source.open() as second:
        assert isinstance(first, io.BufferedReader)
        assert first.read() == second.read() == b"abc"
