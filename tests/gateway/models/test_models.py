"""`/v1/models`: what the Bentos serve, listed and one by one."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bentos.contract import Modality
from gateway.detections.client import open_bento_client
from gateway.detections.fakes import FakeBento, Script
from gateway.errors import InferenceUnavailableError, NotFoundError
from gateway.models.service import Models
from gateway.settings import MEDIA_MODALITIES, GatewaySettings
from scripts.stack.ports import free_port
from tests.fixtures.gateway import Client

ODD_NAMES = ["figures", "..", "%2e%2e", "x?y", "-", "é", "x" * 200, "nothing", "."]


@pytest.mark.integration
async def test_a_model_is_told_with_all_that_judge_by_it(client: Client, bentos: dict[Modality, Script]) -> None:
    for modality in (Modality.IMAGE, Modality.VIDEO):
        bentos[modality].models = {f"{modality}_fake": "Fake", "shared": "Shared"}
    told = (await client.get("/v1/models/shared")).json()
    assert (told["name"], told["title"], told["modalities"], told["default_of"]) == (
        "shared",
        "Shared",
        ["image", "video"],
        [],
    )
    assert [(version["version"], version["roles"], version["licence"]) for version in told["versions"]] == [
        (1, ["stable"], "Apache-2.0")
    ]
    assert told["traffic"] == {"stable": 1, "canary": None, "shadow": None, "previous": None}
    assert [figures["modality"] for figures in told["figures"]] == ["image", "video"]
    assert told["unavailable"] == []
    assert (await client.get("/v1/models/image_fake")).json()["default_of"] == ["image"]


@pytest.mark.integration
@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
async def test_a_model_that_is_not_there_is_not_found(client: Client, name: str) -> None:
    answer = await client.get(f"/v1/models/{name}")
    if name in {"..", "."}:
        assert answer.status_code in {200, 404}
        return
    assert answer.status_code == 404, answer.text
    assert answer.json()["code"] == "unknown_model"


@pytest.mark.integration
async def test_who_is_not_known_is_told_of_no_model(anonymous: Client) -> None:
    assert (await anonymous.get("/v1/models/image_fake")).status_code == 401


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    values: dict[str, Any] = {
        "database_url": "postgresql+psycopg://nobody@localhost/nothing",
        "bento_token": "a-made-up-token-for-the-tests-only",
        "token_key": "made-up-token-key-of-all-the-tests",
        "reference_key": "made-up-reference-key-of-the-tests",
        "spool": tmp_path,
    }
    urls = {f"{modality}_bento_url": f"http://127.0.0.1:{free_port()}" for modality in MEDIA_MODALITIES}
    return GatewaySettings.model_validate(values | urls)


@contextlib.asynccontextmanager
async def serving(settings: GatewaySettings, app: web.Application) -> AsyncIterator[None]:
    """Answer as the image Bento; nobody answers for the others."""
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", int(settings.image_bento_url.rsplit(":", 1)[1])).start()
        yield
    finally:
        await runner.cleanup()


async def test_a_bento_that_is_away_is_named_and_hides_no_model_of_another(settings: GatewaySettings) -> None:
    fake = FakeBento(Modality.IMAGE, settings)
    async with serving(settings, fake.app()), open_bento_client(settings) as bentos:
        told = await Models(bentos).model("image_fake")
        assert told.modalities == (Modality.IMAGE,)
        assert set(told.unavailable) == set(MEDIA_MODALITIES) - {Modality.IMAGE}
        with pytest.raises(InferenceUnavailableError):
            await Models(bentos).model("nothing")
        with pytest.raises(NotFoundError):
            await Models(bentos).model("../readyz")


async def test_a_bento_that_answers_nonsense_is_away(settings: GatewaySettings) -> None:
    async def nonsense(_: web.Request) -> web.Response:
        return web.json_response({"name": 7})

    app = web.Application()
    app.router.add_get("/models/{name}", nonsense)
    async with serving(settings, app), open_bento_client(settings) as bentos:
        with pytest.raises(InferenceUnavailableError):
            await Models(bentos).model("image_fake")
