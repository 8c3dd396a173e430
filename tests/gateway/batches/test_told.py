"""Who is told that a batch has ended: once, whichever way it ended."""

import json
from typing import Any

import pytest

from gateway.queue.runner import Runner
from gateway.settings import GatewaySettings
from gateway.worker import compose, open_means
from tests.fixtures.gateway import JPEG, Client
from tests.gateway.batches.conftest import ZIP, Database, Uploads, account_of, archive, ended, made, send
from tests.gateway.batches.test_batches import naming
from tests.gateway.batches.test_zips import lying, pictures

pytestmark = pytest.mark.integration


@pytest.fixture
async def endpoint(client: Client, database: Database) -> Client:
    """A client whose account has an endpoint for the ends of batches, where nobody listens."""
    await database.execute(
        "INSERT INTO webhook_endpoints (account_id, url, events, secret) VALUES (%s, %s, %s, %s)",
        (await account_of(database, client.key), "http://127.0.0.1:9", ["batch.finished"], bytes(32)),
    )
    return client


async def told(database: Database) -> list[dict[str, Any]]:
    rows = await (
        await database.execute("SELECT body FROM webhook_messages WHERE event = 'batch.finished' ORDER BY id")
    ).fetchall()
    return [json.loads(body)["data"] for (body,) in rows]


async def test_the_end_of_a_batch_is_told_once(
    endpoint: Client, uploads: Uploads, worker: Runner, database: Database
) -> None:
    assert worker
    batch = await made(endpoint, naming(await uploads(3), name="mine"))
    await ended(endpoint, batch["id"])
    (message,) = await told(database)
    assert (message["id"], message["name"], message["status"]) == (batch["id"], "mine", "finished")
    assert (message["total"], message["succeeded"], message["failed"], message["cancelled"]) == (3, 3, 0, 0)


async def test_items_that_never_became_jobs_have_failed(endpoint: Client, worker: Runner, database: Database) -> None:
    assert worker
    files = {"one.jpg": JPEG, "readme.rst": b"hello " * 100}
    await ended(endpoint, (await made(endpoint, archive(files), headers=ZIP))["id"])
    (message,) = await told(database)
    assert (message["total"], message["succeeded"], message["failed"], message["cancelled"]) == (2, 1, 1, 0)


async def test_a_batch_of_nothing_but_refused_items_ends_too(
    endpoint: Client, worker: Runner, database: Database
) -> None:
    assert worker
    done = await ended(endpoint, (await made(endpoint, archive({"a.rst": b"a", "b.rst": b"b"}), headers=ZIP))["id"])
    assert (done["status"], done["counts"]["failed"]) == ("finished", 2)
    assert [one["failed"] for one in await told(database)] == [2]


async def test_a_failed_archive_is_told(endpoint: Client, worker: Runner, database: Database) -> None:
    assert worker
    await ended(endpoint, (await made(endpoint, lying(pictures(3), 1), headers=ZIP))["id"])
    (message,) = await told(database)
    assert (message["status"], message["succeeded"], message["failed"]) == ("failed", 0, 3)


async def test_a_cancelled_batch_is_told_with_its_last_job(
    endpoint: Client, uploads: Uploads, database: Database
) -> None:
    batch = await made(endpoint, naming(await uploads(3)))
    for _ in range(2):
        await endpoint.http.post(f"/v1/batches/{batch['id']}/cancel", headers=endpoint.headers())
    (message,) = await told(database)
    assert (message["status"], message["cancelled"], message["failed"]) == ("cancelled", 3, 0)


async def test_an_item_that_was_cancelled_alone_is_told_as_cancelled(
    endpoint: Client, uploads: Uploads, database: Database, gateway_settings: GatewaySettings
) -> None:
    batch = await made(endpoint, naming(await uploads(2)))
    async with open_means(gateway_settings) as means:
        await {task.name: task for task in compose(means, gateway_settings).tasks}["batch"].work(batch_id=batch["id"])
    for (job_id,) in await (await database.execute("SELECT id FROM jobs")).fetchall():
        assert (await endpoint.http.post(f"/v1/jobs/{job_id}/cancel", headers=endpoint.headers())).status_code == 200
    (message,) = await told(database)
    assert (message["status"], message["total"], message["cancelled"], message["failed"]) == ("finished", 2, 2, 0)


async def test_an_upload_that_is_an_archive_makes_a_batch(client: Client, worker: Runner) -> None:
    assert worker
    data = archive(pictures(3))
    new = {"filename": "pictures.zip", "size_bytes": len(data)}
    upload = (await client.http.post("/v1/uploads", headers=client.headers(), json=new)).json()
    sent = await client.http.put(upload["url"], content=data, headers=upload["headers"])
    assert sent.status_code == 200, sent.text
    complete = await client.http.post(f"/v1/uploads/{upload['id']}/complete", headers=client.headers())
    assert complete.status_code == 200, complete.text
    done = await ended(client, (await made(client, {"archive": upload["id"], "name": "zip"}))["id"])
    assert (done["total"], done["counts"]["succeeded"]) == (3, 3)
    as_item = await send(client, naming([upload["id"]]))
    assert (as_item.status_code, as_item.json()["code"]) == (400, "invalid_items")
