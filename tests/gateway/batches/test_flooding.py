"""Many batches at once: what waits to become jobs counts, so that nobody writes rows without end and without charge."""

import pytest

from tests.fixtures.gateway import JPEG, Client
from tests.gateway.batches.conftest import ZIP, Database, Uploads, archive, made, one, send

pytestmark = pytest.mark.integration


async def test_what_waits_to_become_jobs_counts_before_it_is_charged(
    client: Client, uploads: Uploads, database: Database
) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 10")
    (medium,) = await uploads(1)
    body = {"items": [{"upload_id": medium}] * 6}
    await made(client, body)
    refused = [await send(client, body), await send(client, archive({f"{n}.jpg": JPEG for n in range(5)}), headers=ZIP)]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded"), answer.text
    await made(client, {"items": [{"upload_id": medium}] * 4})
    assert await one(database, "SELECT count(*) FROM batch_items") == 10
    # What became jobs is charged, and does not count twice.
    await database.execute("UPDATE batches SET next_place = total, status = 'running'")
    await made(client, body)
