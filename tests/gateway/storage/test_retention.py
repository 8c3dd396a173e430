"""How media go: step by step, with a crash between any two of them; what still needs them; what nobody knows of."""

import asyncio
import hashlib
import os
import time
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from gateway.db.engine import Database
from gateway.errors import StorageUnavailableError
from gateway.settings import GatewaySettings
from gateway.storage.objects import ObjectStore
from gateway.storage.retention import Retention
from tests.fixtures.gateway import JPEG, PASSWORD, Client
from tests.fixtures.history import add_detection, assert_counts_are_exact
from tests.fixtures.kept import Connection, assert_meters_are_exact, keep, proof, rows, stored

pytestmark = pytest.mark.integration

DIGEST = hashlib.sha256(JPEG).hexdigest()
INSERT = """
    INSERT INTO media (account_id, state, path, object_path, filename, size_bytes, digest, kept, completed_at,
        expires_at)
    SELECT a.id, %(state)s, %(path)s, %(path)s, 'a.jpg', %(size)s, NULL, %(kept)s,
        CASE WHEN %(state)s = 'ready' THEN now() END, now() + %(left)s::interval
    FROM accounts a LIMIT 1 RETURNING id
"""


async def add_medium(database: Connection, **values: object) -> UUID:
    """A medium of the only account, without an object."""
    usual = {"state": "ready", "path": f"media/{uuid4()}", "size": 10, "kept": False, "left": timedelta(seconds=-1)}
    row = await (await database.execute(INSERT, usual | values)).fetchone()
    assert row
    return row[0]


async def delete(client: Client, medium_id: str) -> int:
    answer = await client.http.delete(f"/v1/storage/media/{medium_id}", headers=client.headers())
    return answer.status_code


async def states(database: Connection) -> list[str]:
    return [row[0] for row in await rows(database, "SELECT state FROM media ORDER BY state")]


async def test_a_deleted_medium_is_out_of_reach_at_once_and_gone_with_the_next_sweep(
    client: Client, database: Connection, retention: Retention, gateway_settings: GatewaySettings
) -> None:
    view = await keep(client)
    assert await delete(client, view["medium_id"]) == 204
    for path in ("", "/content"):
        assert (await client.get(f"/v1/storage/media/{view['medium_id']}{path}")).status_code == 404
    assert await delete(client, view["medium_id"]) == 404
    report = (await client.get("/v1/storage")).json()
    assert (report["used_bytes"], report["largest"]) == (0, [])
    judged = (await client.get(f"/v1/detections/{view['id']}")).json()
    assert (judged["medium_id"], judged["verdict"]) == (None, view["verdict"])
    assert await proof(database, view["medium_id"]) is None
    assert await retention.sweep() == 1
    assert stored(gateway_settings) == []
    assert await states(database) == []
    assert await proof(database, view["medium_id"]) == (DIGEST, len(JPEG), "owner")
    (told,) = (await client.get("/v1/storage/proofs")).json()["data"]
    assert (told["medium_id"], told["sha256"], told["reason"]) == (view["medium_id"], DIGEST, "owner")
    await assert_meters_are_exact(database)


@pytest.mark.parametrize("reached", ["discarded", "taken", "object removed"])
async def test_a_sweep_that_dies_at_any_step_is_finished_by_the_next_one(
    client: Client, database: Connection, retention: Retention, gateway_settings: GatewaySettings, reached: str
) -> None:
    view = await keep(client)
    await database.execute("UPDATE media SET expires_at = now() - interval '1 second'")
    assert await retention.expire() == 1
    if reached != "discarded":
        taken = await retention.take()
        if reached == "object removed":
            await retention.remove(taken)
            assert stored(gateway_settings) == []
        # What a sweep has taken is left to it, until it must be dead.
        assert await retention.sweep() == 0
        await database.execute("UPDATE media SET expires_at = now() - interval '1 second'")
    assert await states(database) == ["deleting"]
    assert await retention.sweep() == 1
    assert (await states(database), stored(gateway_settings)) == ([], [])
    assert await proof(database, view["medium_id"]) == (DIGEST, len(JPEG), "retention")
    # And once more is once too often for nobody.
    assert await retention.forget([UUID(view["medium_id"])]) == 0
    await assert_meters_are_exact(database)


async def test_a_store_that_does_not_answer_is_asked_again(
    client: Client, database: Connection, retention: Retention, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = [(await keep(client))["medium_id"] for _ in range(2)]
    for one in (first, second):
        assert await delete(client, one) == 204
    remove = objects.remove

    async def fail_once(path: str) -> None:
        if path.endswith(first):
            raise StorageUnavailableError
        await remove(path)

    with monkeypatch.context() as patch:
        patch.setattr(objects, "remove", fail_once)
        assert await retention.sweep() == 1
    assert await proof(database, first) is None
    assert await retention.sweep() == 0
    await database.execute("UPDATE media SET expires_at = now() - interval '1 second'")
    assert await retention.sweep() == 1
    assert await proof(database, first) == (DIGEST, len(JPEG), "owner")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"state": "open"}, "never_completed"),
        ({"state": "ready"}, "unused"),
        ({"state": "ready", "kept": True}, "retention"),
    ],
)
async def test_the_proof_says_why(
    client: Client, database: Connection, retention: Retention, values: dict[str, Any], reason: str
) -> None:
    assert client.key
    medium = await add_medium(database, **values)
    kept = await add_medium(database, **values | {"left": timedelta(hours=1)})
    assert await retention.sweep() == 1
    assert await proof(database, medium) == (None, 10, reason)
    assert await rows(database, "SELECT id FROM media") == [(kept,)]


async def test_the_parts_of_an_upload_go_with_it(
    client: Client,
    database: Connection,
    retention: Retention,
    objects: ObjectStore,
    gateway_settings: GatewaySettings,
) -> None:
    assert client.key
    medium, other = await add_medium(database, state="open"), uuid4()
    for owner in (medium, other):
        for part in (1, 2):
            await objects.put_bytes(f"incoming/{owner}/{part}", b"part")
    assert await retention.sweep() == 1
    assert stored(gateway_settings) == [f"incoming/{other}/1", f"incoming/{other}/2"]


@pytest.mark.parametrize("status", ["queued", "running"])
async def test_what_a_job_needs_stays_until_the_job_has_ended(
    client: Client, database: Connection, retention: Retention, status: str
) -> None:
    medium = await add_medium(database)
    (account,) = await rows(database, "SELECT id FROM accounts")
    detection = await add_detection(database, account[0], status="running")
    await database.execute(
        """
        INSERT INTO jobs (account_id, detection_id, medium_id, class, request_id, status)
        VALUES (%s, %s, %s, 'api', 'r', %s)
        """,
        [account[0], detection, medium, status],
    )
    assert await retention.sweep() == 0
    assert await states(database) == ["ready"]
    assert (await client.http.delete(f"/v1/storage/media/{medium}", headers=client.headers())).json()["code"] == (
        "medium_in_use"
    )
    await database.execute("UPDATE jobs SET status = 'failed'")
    await database.execute("UPDATE media SET expires_at = now() - interval '1 second'")
    assert await retention.sweep() == 1


async def test_a_job_that_is_being_handed_over_keeps_its_medium(
    client: Client, database: Connection, retention: Retention, opened: Database
) -> None:
    """The sweep waits for whoever holds the medium in a transaction, and then sees its job."""
    assert client.key
    medium = await add_medium(database)
    (account,) = await rows(database, "SELECT id FROM accounts")
    detection = await add_detection(database, account[0], status="running")
    async with opened.pool.connection() as other, other.transaction():
        await other.execute("SELECT 1 FROM media WHERE id = %s AND state = 'ready' FOR KEY SHARE", [medium])
        sweep = asyncio.create_task(retention.sweep())
        await asyncio.sleep(0.3)
        assert not sweep.done()
        await other.execute(
            "INSERT INTO jobs (account_id, detection_id, medium_id, class, request_id) VALUES (%s, %s, %s, 'api', 'r')",
            [account[0], detection, medium],
        )
    assert await asyncio.wait_for(sweep, 10) == 0
    assert await states(database) == ["ready"]


async def test_a_shorter_retention_holds_for_what_is_there(
    client: Client, database: Connection, retention: Retention
) -> None:
    old, new = [(await keep(client))["medium_id"] for _ in range(2)]
    await database.execute("UPDATE media SET completed_at = now() - interval '10 days' WHERE id = %s", [old])
    passing = await add_medium(database, left=timedelta(days=1))

    async def retain(days: int | None) -> None:
        body = {"retention_days": days}
        answer = await client.http.patch("/v1/storage", headers=client.headers(), json=body)
        assert (answer.status_code, answer.json()["retention_days"]) == (200, days)

    await retain(11)
    assert await retention.sweep() == 0
    await retain(None)
    assert await rows(database, "SELECT 1 FROM media WHERE kept AND expires_at IS NOT NULL") == []
    await retain(9)
    assert await retention.sweep() == 1
    assert await proof(database, old) == (DIGEST, len(JPEG), "retention")
    left = await rows(database, "SELECT id::text, expires_at - completed_at FROM media ORDER BY kept DESC")
    assert left[0] == (new, timedelta(days=9))
    assert left[1][0] == str(passing)


async def test_an_account_that_ends_takes_all_its_media_along(
    member: Client, database: Connection, retention: Retention, gateway_settings: GatewaySettings
) -> None:
    view = await keep(member)
    await add_medium(database, state="open", left=timedelta(days=1))
    login = await member.http.post("/v1/auth/login", json={"login": "someone@example.org", "password": PASSWORD})
    headers = {"authorization": f"Bearer {login.json()['access_token']}"}
    answer = await member.http.request("DELETE", "/v1/account", headers=headers, json={"password": PASSWORD})
    assert answer.status_code == 204
    assert await states(database) == ["deleting", "deleting"]
    assert await retention.sweep() == 2
    assert stored(gateway_settings) == []
    assert await proof(database, view["medium_id"]) == (DIGEST, len(JPEG), "account_deleted")
    (row,) = await rows(database, "SELECT medium_id, thumbnail, verdict FROM detections")
    assert row == (None, None, view["verdict"])
    await assert_meters_are_exact(database)


async def test_objects_that_belong_to_nobody_go_once_they_are_a_day_old(
    client: Client, retention: Retention, objects: ObjectStore, gateway_settings: GatewaySettings
) -> None:
    view = await keep(client)
    orphans = [f"media/{uuid4()}", f"incoming/{uuid4()}/1", f"media/{uuid4()}"]
    for path in orphans:
        await objects.put_bytes(path, b"nobody's")
    folder = gateway_settings.spool.parent / "media"
    yesterday = time.time() - 2 * 86_400
    for path in (*orphans[:2], f"media/{view['medium_id']}"):
        os.utime(folder / path, (yesterday, yesterday))
    assert await retention.sweep_orphans() == 2
    assert stored(gateway_settings) == sorted([f"media/{view['medium_id']}", orphans[2]])


async def test_many_sweeps_at_once_remove_each_medium_once(
    client: Client, database: Connection, opened: Database, objects: ObjectStore
) -> None:
    assert client.key
    for _ in range(60):
        await add_medium(database, kept=True)
    sweepers = [Retention(opened.pool, objects, bin_days=30, batch=7) for _ in range(4)]
    counts = await asyncio.gather(*(one.sweep() for one in sweepers))
    counts += await asyncio.gather(*(one.sweep() for one in sweepers))
    assert sum(counts) == 60
    assert await rows(database, "SELECT count(*) FROM deletion_proofs") == [(60,)]
    await assert_meters_are_exact(database)


async def test_a_deleted_detection_takes_its_medium_along_and_leaves_the_bin_after_its_time(
    client: Client, database: Connection, retention: Retention, gateway_settings: GatewaySettings
) -> None:
    gone, spared = await keep(client), await keep(client)
    other = (await client.detect(JPEG)).json()
    for view in (gone, other):
        assert (await client.http.delete(f"/v1/detections/{view['id']}", headers=client.headers())).status_code == 204
    await assert_counts_are_exact(database)
    assert await retention.sweep() == 1
    assert await proof(database, gone["medium_id"]) == (DIGEST, len(JPEG), "owner")
    assert stored(gateway_settings) == [f"media/{spared['medium_id']}"]
    # It may be taken back, without its file.
    restored = await client.http.post(f"/v1/detections/{gone['id']}/restore", headers=client.headers())
    assert (restored.json()["medium_id"], restored.json()["verdict"]) == (None, gone["verdict"])
    await client.http.delete(f"/v1/detections/{gone['id']}", headers=client.headers())
    days = await rows(database, "SELECT * FROM detection_days")
    await database.execute("UPDATE detections SET deleted_at = now() - interval '29 days' WHERE id = %s", [other["id"]])
    await database.execute("UPDATE detections SET deleted_at = now() - interval '31 days' WHERE id = %s", [gone["id"]])
    assert await retention.empty_bin() == 1
    assert sorted(await rows(database, "SELECT id::text FROM detections")) == sorted([(other["id"],), (spared["id"],)])
    # What was counted is counted still: deleted ones were not, but for what they were charged.
    assert await rows(database, "SELECT * FROM detection_days") == days
    assert await client.used() == 3


async def test_the_bin_takes_what_jobs_and_media_a_detection_still_has(
    client: Client, database: Connection, retention: Retention
) -> None:
    view = await keep(client)
    (account,) = await rows(database, "SELECT id FROM accounts")
    await database.execute(
        "INSERT INTO jobs (account_id, detection_id, class, request_id, status) VALUES (%s, %s, 'api', 'r', 'failed')",
        [account[0], view["id"]],
    )
    await database.execute("UPDATE detections SET deleted_at = now() - interval '31 days'")
    assert await retention.empty_bin() == 1
    assert await rows(database, "SELECT 1 FROM jobs UNION ALL SELECT 1 FROM detections") == []
    assert await retention.sweep() == 1
    assert await proof(database, view["medium_id"]) == (DIGEST, len(JPEG), "owner")
