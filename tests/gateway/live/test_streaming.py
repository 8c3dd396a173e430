"""The sending of server-sent events to clients that behave badly."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import pytest

from gateway.errors import TooManyStreamsError
from gateway.live import streaming
from gateway.live.hub import Hub
from gateway.live.service import Live, Request
from gateway.live.streaming import EventStream
from gateway.metrics import Metrics
from gateway.settings import GatewaySettings


@pytest.fixture
def live(tmp_path) -> Live:
    secrets = dict.fromkeys(("bento_token", "reference_key", "token_key"), "x" * 32)
    settings = {"database_url": "postgresql+psycopg:///unused", "spool": tmp_path, **secrets}
    changed = {"live_streams_per_account": 1, "live_heartbeat_s": 0.05}
    # No event is read here, so that no database is asked.
    pool: Any = None
    return Live(pool, Hub(pool), Metrics(), GatewaySettings.model_validate(settings | changed))


def request() -> Request:
    return Request(job_id=uuid4(), after=0, over=False, account_id=uuid4(), key_id=None, session_id=None, kind="sse")


async def never() -> Any:
    await asyncio.Event().wait()


async def test_a_client_that_takes_nothing_is_cut_off_and_its_place_is_free_again(live, monkeypatch):
    monkeypatch.setattr(streaming, "SEND_TIMEOUT_S", 0.2)
    wish = request()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) > 3:
            await never()

    begun = time.monotonic()
    await EventStream(live, wish).to_asgi_response()({}, never, send)
    assert time.monotonic() - begun < 2
    # The body was not brought to its end: what is left of the connection is broken.
    assert sent[-1]["more_body"]
    with live.open(wish):
        pass


async def test_a_client_that_hangs_up_ends_its_stream_at_once(live):
    wish = request()
    sent: list[Any] = []
    gone = asyncio.Event()

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    stream = asyncio.create_task(EventStream(live, wish).to_asgi_response()({}, receive, send))
    await asyncio.sleep(0.2)
    with pytest.raises(TooManyStreamsError), live.open(wish):
        pass
    gone.set()
    await asyncio.wait_for(stream, 1)
    assert sum(one.get("body", b"").startswith(b":") for one in sent) >= 2
    with live.open(wish):
        pass
