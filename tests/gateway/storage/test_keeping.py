"""Media that stay once they are judged: who says so, what room there has to be, what is left of failures."""

import asyncio
import hashlib
from typing import Any

import pytest

from bentos.contract import ErrorBody, Modality
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from tests.fixtures.admissions import change
from tests.fixtures.gateway import JPEG, MP4, Client, make_account
from tests.fixtures.history import account_of
from tests.fixtures.kept import assert_meters_are_exact, keep, rows, stored
from tests.fixtures.site import Site

pytestmark = pytest.mark.integration

NOTHING_LEFT = "SELECT id FROM media WHERE state <> 'deleting'"


async def allow(database: Any, client: Client, **columns: object) -> None:
    """Set columns of the client's account."""
    await change(database, "accounts", await account_of(database, client.key), columns)


async def test_what_is_to_be_kept_is_there_with_the_verdict(
    client: Client, database: Any, gateway_settings: GatewaySettings
) -> None:
    view = await keep(client, JPEG)
    medium = (await client.get(f"/v1/storage/media/{view['medium_id']}")).json()
    assert medium["sha256"] == hashlib.sha256(JPEG).hexdigest() == view["sha256"]
    assert (medium["detection_id"], medium["kept"], medium["size_bytes"]) == (view["id"], True, len(JPEG))
    assert (medium["modality"], medium["media_type"], medium["filename"]) == ("image", "image/jpeg", "file.bin")
    assert medium["expires_at"] is None
    assert stored(gateway_settings) == [f"media/{view['medium_id']}"]
    content = await client.get(f"/v1/storage/media/{view['medium_id']}/content")
    assert content.content == JPEG
    assert (await client.get(f"/v1/detections/{view['id']}")).json()["medium_id"] == view["medium_id"]
    assert (await client.get("/v1/detections")).json()["data"][0]["medium_id"] == view["medium_id"]
    await assert_meters_are_exact(database)


async def test_a_large_medium_is_kept_from_the_spool(client: Client, gateway_settings: GatewaySettings) -> None:
    large = MP4 + bytes(gateway_settings.memory_limit_bytes)
    view = await keep(client, large)
    assert (await client.get(f"/v1/storage/media/{view['medium_id']}/content")).content == large
    assert list(gateway_settings.spool.iterdir()) == []


async def test_nothing_is_kept_where_nobody_asks_for_it(
    client: Client, database: Any, gateway_settings: GatewaySettings
) -> None:
    for fields in ({}, {"store": "false"}):
        view = (await client.detect(JPEG, **fields)).json()
        assert view["medium_id"] is None
    assert stored(gateway_settings) == []
    assert await rows(database, "SELECT 1 FROM media") == await rows(database, "SELECT 1 FROM storage_meters") == []


async def test_the_account_decides_where_the_request_says_nothing(client: Client, database: Any) -> None:
    await allow(database, client, keeps_media=True, retention_days=7)
    kept = (await client.detect(JPEG)).json()
    assert (await client.detect(JPEG, store="false")).json()["medium_id"] is None
    medium = (await client.get(f"/v1/storage/media/{kept['medium_id']}")).json()
    (days,) = await rows(database, "SELECT expires_at - completed_at FROM media")
    assert days[0].days == 7
    assert medium["expires_at"] is not None


async def test_a_choice_that_is_none_is_refused(client: Client, database: Any) -> None:
    answer = await client.detect(JPEG, store="perhaps")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")
    assert await client.used() == 0
    assert await rows(database, "SELECT 1 FROM media") == []


async def test_a_full_storage_refuses_before_anything_is_judged(
    client: Client, database: Any, bentos: dict[Modality, Script]
) -> None:
    await allow(database, client, storage_bytes=2 * len(JPEG) + 10)
    big = JPEG + bytes(9)
    await keep(client, big, path="/v1/detections")
    await keep(client, JPEG)
    judged, used = len(bentos[Modality.IMAGE].calls), await client.used()
    answer = await client.detect(JPEG, store="true")
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
    detail = answer.json()["detail"]
    assert "Delete 0.0 MiB" not in detail
    assert "the largest files are file.bin" in detail
    assert (len(bentos[Modality.IMAGE].calls), await client.used()) == (judged, used)
    # The same is judged where it need not be kept.
    assert (await client.detect(JPEG)).status_code == 200
    assert (await client.get("/v1/storage")).json()["count"] == 2
    await assert_meters_are_exact(database)


async def test_a_file_larger_than_the_whole_storage_is_told_so(client: Client, database: Any) -> None:
    await allow(database, client, storage_bytes=100)
    answer = await client.detect(JPEG, store="true")
    assert answer.status_code == 507
    assert "larger than the whole storage" in answer.json()["detail"]


async def test_only_so_many_fit_however_many_come_at_once(
    client: Client, database: Any, gateway_settings: GatewaySettings
) -> None:
    await allow(database, client, storage_bytes=5 * len(JPEG) + 100)
    answers = await asyncio.gather(*(client.detect(JPEG, store="true") for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [507] * 7
    assert await client.used() == 5
    assert len(stored(gateway_settings)) == 5
    await assert_meters_are_exact(database)


async def test_nothing_is_kept_of_what_could_not_be_judged(
    client: Client, database: Any, bentos: dict[Modality, Script], retention: Any, gateway_settings: GatewaySettings
) -> None:
    bentos[Modality.IMAGE].refusal = (400, ErrorBody("unreadable_media", "No picture."))
    answer = await client.detect(JPEG, store="true")
    assert answer.status_code == 400
    assert (await client.get("/v1/storage")).json()["used_bytes"] == 0
    assert await rows(database, NOTHING_LEFT) == []
    await retention.sweep()
    assert await rows(database, "SELECT 1 FROM media UNION ALL SELECT 1 FROM deletion_proofs") == []
    assert stored(gateway_settings) == []
    await assert_meters_are_exact(database)


async def test_where_the_store_does_not_take_it_nothing_is_charged(
    client: Client, database: Any, gateway_settings: GatewaySettings
) -> None:
    folder = gateway_settings.spool.parent / "media" / "media"
    folder.write_text("a file where a folder has to be")
    answer = await client.detect(JPEG, store="true")
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert await client.used() == 0
    assert await rows(database, NOTHING_LEFT) == []
    folder.unlink()
    await keep(client)


async def test_what_a_dead_process_had_reserved_is_free_again(client: Client, database: Any) -> None:
    await keep(client)
    await database.execute("""
        UPDATE detections SET status = 'running', deadline_at = now() - interval '1 second', settled_at = NULL
    """)
    await database.execute("UPDATE media SET state = 'reserved', completed_at = NULL")
    (swept,) = await rows(database, "SELECT sweep_detections(10)")
    assert swept == (1,)
    assert (await client.get("/v1/storage")).json()["used_bytes"] == 0
    await assert_meters_are_exact(database)


async def test_a_repeated_call_is_answered_with_the_same_medium_and_keeps_it_once(
    client: Client, database: Any
) -> None:
    headers = client.headers() | {"idempotency-key": "once"}
    answers = [
        await client.http.post(
            "/v1/detections", headers=headers, files={"file": ("a.jpg", JPEG)}, data={"store": "true"}
        )
        for _ in range(2)
    ]
    assert answers[0].json()["medium_id"] == answers[1].json()["medium_id"]
    assert len(await rows(database, "SELECT 1 FROM media")) == 1
    other = await client.http.post(
        "/v1/detections", headers=headers, files={"file": ("a.jpg", JPEG)}, data={"store": "false"}
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_a_repeated_verdict_keeps_its_medium_too(client: Client) -> None:
    first = await keep(client)
    second = await keep(client, reuse="true")
    assert second["cached_from"] == first["id"]
    assert second["medium_id"] != first["medium_id"]
    assert (await client.get("/v1/storage")).json()["count"] == 2


async def test_the_accounts_of_one_batch_do_not_pay_for_each_other(client: Client, database: Any) -> None:
    """Calls of several accounts are admitted in one statement: some keep, some do not, some have no room."""
    await allow(database, client, storage_bytes=len(JPEG))
    others = [Client(client.http, await make_account(database, f"{name}@example.org")) for name in "abc"]
    calls = [one.detect(JPEG, store=keep) for one in (client, *others) for keep in ("true", "false", "true")]
    answers = await asyncio.gather(*calls)
    assert sorted(answer.status_code for answer in answers[:3]) == [200, 200, 507]
    assert [answer.status_code for answer in answers[3:]] == [200] * 9
    await assert_meters_are_exact(database)


async def test_a_camera_frame_is_never_kept(site: Site, database: Any) -> None:
    await database.execute("UPDATE accounts SET keeps_media = true")
    assert (await site.camera()).status_code == 200
    assert await rows(database, "SELECT 1 FROM media") == []
