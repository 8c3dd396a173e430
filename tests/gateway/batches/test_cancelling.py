"""What goes with a batch that is cancelled, and what its cancelling may not wait for in a ring."""

import asyncio

import psycopg
import pytest

from gateway.batches.cancelling import Cancelling
from gateway.db.engine import connection_string, open_database
from gateway.jobs.ending import Endings
from gateway.settings import GatewaySettings
from gateway.worker import compose, open_means
from tests.fixtures.gateway import JPEG, MP4, Client, eventually
from tests.gateway.batches.conftest import ZIP, Database, account_of, archive, made, one, read
from tests.gateway.batches.test_zips import pictures

pytestmark = pytest.mark.integration


async def test_what_was_unpacked_of_a_cancelled_batch_and_never_became_jobs_goes(
    client: Client, database: Database, gateway_settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.batches.accepting.CHUNK", 2)
    batch = await made(client, archive(pictures(5)), headers=ZIP, store="true")
    async with open_means(gateway_settings) as means:
        run = {task.name: task for task in compose(means, gateway_settings).tasks}["batch"].work
        with monkeypatch.context() as patch:
            patch.setattr("gateway.batches.expanding._SLICE_S", 0)
            while await one(database, "SELECT count(*) FROM jobs") == 0:
                await run(batch_id=batch["id"])
        answer = await client.http.post(f"/v1/batches/{batch['id']}/cancel", headers=client.headers())
        assert (answer.json()["counts"]["cancelled"], answer.json()["ended_at"] is None) == (5, False)
        # Its entry in the queue comes with the cancelling.
        await run(batch_id=batch["id"])
    never = """
        SELECT count(*) FROM media m WHERE m.kept AND m.state = 'ready'
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.medium_id = m.id)
    """
    assert await one(database, never) == 0
    assert await one(database, "SELECT count(*) FROM media WHERE expires_at <= now()") == 4


async def test_cancelling_counts_days_in_the_order_of_settling(
    client: Client, database: Database, gateway_settings: GatewaySettings, database_url: str
) -> None:
    batch = await made(client, archive({"a.mp4": MP4, "b.jpg": JPEG}), headers=ZIP)
    async with open_means(gateway_settings) as means:
        await {task.name: task for task in compose(means, gateway_settings).tasks}["batch"].work(batch_id=batch["id"])
    account = await account_of(database, client.key)
    modalities = "SELECT array_agg(d.modality ORDER BY j.place) FROM jobs j JOIN detections d ON d.id = j.detection_id"
    assert await one(database, modalities) == ["video", "image"]
    await database.execute(
        "INSERT INTO detection_days (account_id, day, modality, key_id)"
        " SELECT account_id, charged_on, modality, key_id FROM detections"
    )
    await database.execute("UPDATE batches SET status = 'cancelled'")
    touch = "UPDATE detection_days SET succeeded = succeeded + 1 WHERE account_id = %s AND modality = %s"
    async with (
        open_database(gateway_settings) as opened,
        await psycopg.AsyncConnection.connect(connection_string(database_url)) as settling,
    ):
        await settling.execute(touch.encode(), (account, "image"))
        cancelling = asyncio.create_task(Cancelling(opened.engine, Endings()).step(account, batch["id"]))
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

        async def waiting() -> bool:
            return await one(database, waits) > 0

        await eventually(waiting)
        await settling.execute(touch.encode(), (account, "video"))
        await settling.commit()
        assert await asyncio.wait_for(cancelling, 10) is False
    assert (await read(client, batch["id"]))["counts"]["cancelled"] == 2
