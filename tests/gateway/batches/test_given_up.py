"""A batch that is given up: what its owner uploads and keeps is not taken for what came out of an archive."""

from typing import Any

import pytest

from gateway.batches import expanding
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import Client
from tests.fixtures.kept import assert_meters_are_exact, rows
from tests.gateway.batches.conftest import Database, Uploads, ended, made
from tests.gateway.jobs.conftest import working

pytestmark = pytest.mark.integration


async def test_the_uploads_of_a_batch_that_is_given_up_stay_kept(
    client: Client,
    uploads: Uploads,
    database: Database,
    gateway_settings: GatewaySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def break_off(*_: Any) -> bool:
        raise RuntimeError("this fails each time")

    ids = await uploads(2, keep=True)
    batch = await made(client, {"items": [{"upload_id": one} for one in ids]})
    # All tries but the last have been made.
    await database.execute("UPDATE batches SET failures = 7")
    monkeypatch.setattr(expanding, "accept_chunk", break_off)
    async with working(gateway_settings):
        assert (await ended(client, batch["id"]))["status"] == "failed"
    assert await rows(database, "SELECT state, kept, expires_at FROM media") == [("ready", True, None)] * 2
    await assert_meters_are_exact(database)
