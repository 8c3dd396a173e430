import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import uvicorn
from pydantic import SecretStr

from bentos.contract import Modality
from bentos.http.app import DetectionApp
from bentos.http.auth import TokenMiddleware
from bentos.settings import BentoSettings
from tests.fixtures.surface import KEY, TOKEN, Scripted

MIB = 1024 * 1024


@pytest.fixture
def settings(tmp_path: Path) -> BentoSettings:
    return BentoSettings(
        bento_token=SecretStr(TOKEN),
        reference_key=SecretStr(KEY),
        spool=tmp_path,
        image_max_bytes=2 * MIB,
        bento_max_calls=80,
    )


@pytest.fixture
def detector() -> Scripted:
    return Scripted()


@pytest.fixture
async def client(detector: Scripted, settings: BentoSettings) -> AsyncIterator[aiohttp.ClientSession]:
    app = TokenMiddleware(DetectionApp(Modality.IMAGE, detector, settings), TOKEN)
    # Opened once more by its number, which tells asyncio that it is one of TCP, whose small packets are not to wait.
    with socket.socket(fileno=socket.create_server(("127.0.0.1", 0)).detach()) as listener:
        config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        # What `serve` does, but for its loop, which looks ten times a second whether it is to end.
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with aiohttp.ClientSession(url, headers={"authorization": f"Bearer {TOKEN}"}) as session:
            yield session
        for _ in range(100):
            if not server.server_state.connections:
                break
            await asyncio.sleep(0.001)
        else:
            await server.shutdown(sockets=[listener])
        # Where nobody is left, `shutdown` does no more than this and sleeps for a tenth of a second.
        for each in server.servers:
            each.close()
