"""How uploads go: what was never completed, what was given up, what somebody sent too late."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import GatewaySettings
from gateway.storage.objects import ObjectStore
from gateway.storage.retention import Retention
from tests.fixtures.gateway import JPEG, Client
from tests.fixtures.kept import stored
from tests.gateway.uploads.test_uploads import LARGE, PART, announce, complete, put

pytestmark = pytest.mark.integration


async def begin(client: Client) -> dict[str, Any]:
    """An upload of which one part is there."""
    upload = await announce(client, LARGE, part_bytes=PART)
    assert (await put(client, upload["parts"][0]["url"], LARGE[:PART])).status_code == 200
    return upload


async def test_what_was_never_completed_goes_in_time_with_its_parts(
    client: Client, database: Any, retention: Retention, gateway_settings: GatewaySettings
) -> None:
    upload = await begin(client)
    assert await retention.sweep() == 0
    await database.execute("UPDATE media SET expires_at = now() - interval '1 second'")
    assert await retention.sweep() == 1
    assert stored(gateway_settings) == []
    assert (await client.get(f"/v1/uploads/{upload['id']}")).status_code == 404
    assert (await put(client, upload["parts"][1]["url"], LARGE[PART : 2 * PART])).status_code == 404
    (proof,) = (await client.get("/v1/storage/proofs")).json()["data"]
    assert (proof["medium_id"], proof["reason"], proof["sha256"]) == (upload["id"], "never_completed", None)
    meter = await (await database.execute("SELECT passing_bytes, passing_count FROM storage_meters")).fetchone()
    assert meter == (0, 0)


async def test_what_was_given_up_goes_with_its_parts(
    client: Client, retention: Retention, gateway_settings: GatewaySettings
) -> None:
    upload = await begin(client)
    answer = await client.http.delete(f"/v1/uploads/{upload['id']}", headers=client.headers())
    assert answer.status_code == 204
    assert await retention.sweep() == 1
    assert stored(gateway_settings) == []


async def test_what_came_too_late_and_copies_that_broke_off_go_too(
    client: Client, retention: Retention, objects: ObjectStore, gateway_settings: GatewaySettings
) -> None:
    upload = await announce(client, keep=True)
    await put(client, upload["url"], JPEG)
    await complete(client, upload)
    (taken,) = stored(gateway_settings)
    # As to a bucket, whose addresses do not know that the upload is complete.
    late = f"incoming/{upload['id']}/1/{upload['file_path']}"
    await objects.put_bytes(late, b"late")
    assert await retention.sweep_orphans() == 0
    folder: Path = gateway_settings.spool.parent / "media"
    for path in (late, taken):
        os.utime(folder / path, (time.time() - 2 * 86_400,) * 2)
    assert await retention.sweep_orphans() == 1
    assert stored(gateway_settings) == [taken]
    await objects.put_bytes(f"media/{upload['id']}/another-attempt", b"half")
    gone = await client.http.delete(f"/v1/storage/media/{upload['id']}", headers=client.headers())
    assert gone.status_code == 204, gone.text
    assert await retention.sweep() == 1
    assert stored(gateway_settings) == []


async def test_parts_of_an_open_upload_stay_however_old_they_are(
    client: Client, retention: Retention, gateway_settings: GatewaySettings
) -> None:
    await begin(client)
    (part,) = stored(gateway_settings)
    os.utime(gateway_settings.spool.parent / "media" / part, (1, 1))
    assert await retention.sweep_orphans() == 0
    assert stored(gateway_settings) == [part]
