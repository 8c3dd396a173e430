"""What is refused before it costs anything: more batches than the day has room for, and names that cannot be kept."""

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


@pytest.mark.parametrize("text", ["a\x00", "\x00", "two\nlines", "\u202egnp.exe"])
async def test_names_that_cannot_be_kept_or_shown_are_refused_and_leave_nothing(
    client: Client, uploads: Uploads, database: Database, text: str
) -> None:
    (medium,) = await uploads(1)
    items = [{"upload_id": medium}]
    zipped = archive({"a.jpg": JPEG})
    for answer in (
        await send(client, {"items": items, "name": text}),
        await send(client, {"items": items, "model": text}),
        await send(client, zipped, headers=ZIP, name=text),
        await send(client, zipped, headers=ZIP, model=text),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body"), answer.text
    answer = await send(client, {"items": [{"upload_id": medium, "model": text}]})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_items"), answer.text
    assert await one(database, "SELECT count(*) FROM batches") == 0
    # No archive is left behind in the store.
    assert await one(database, "SELECT count(*) FROM media") == 1
