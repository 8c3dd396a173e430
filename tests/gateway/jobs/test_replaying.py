"""A call that is sent again under its key leads to the job of the first, whatever has become of its medium."""

from typing import Any

import pytest

from gateway.queue.runner import Runner
from tests.fixtures.gateway import JPEG, Client, eventually
from tests.fixtures.kept import keep, rows
from tests.gateway.jobs.conftest import reached

pytestmark = pytest.mark.integration


async def test_a_job_of_an_upload_is_found_again_once_the_upload_has_gone(
    client: Client, worker: Runner, database: Any
) -> None:
    assert worker
    medium = (await keep(client))["medium_id"]
    used = await client.used()
    headers = client.headers() | {"idempotency-key": "once"}
    body = {"upload_id": medium, "store": False}
    first = await client.http.post("/v1/jobs", headers=headers, json=body)
    assert first.status_code == 202, first.text
    await reached(client, first.json()["id"], "succeeded")

    async def gone() -> bool:
        return await rows(database, "SELECT 1 FROM media") == []

    await eventually(gone, 20)
    again = await client.http.post("/v1/jobs", headers=headers, json=body)
    assert (again.status_code, again.json().get("id")) == (202, first.json()["id"])
    assert again.headers["idempotency-replayed"] == "true"
    assert await client.used() == used + 1
    other = await client.http.post("/v1/jobs", headers=headers, json={"upload_id": medium, "store": True})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    headers["idempotency-key"] = "twice"
    assert (await client.http.post("/v1/jobs", headers=headers, json=body)).status_code == 404


async def test_a_large_file_that_was_the_last_of_the_day_may_be_sent_again(client: Client, database: Any) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 1")
    large = JPEG + bytes(9 * 1024 * 1024)
    headers = client.headers() | {"idempotency-key": "once"}

    async def send(**more: str) -> Any:
        return await client.http.post("/v1/jobs", headers=headers | more, files={"file": ("a.jpg", large)})

    first, again = await send(), await send()
    assert (first.status_code, again.status_code) == (202, 202), again.text
    assert again.json()["id"] == first.json()["id"]
    assert await rows(database, "SELECT count(*) FROM media WHERE state = 'ready'") == [(1,)]
    assert (await send(**{"idempotency-key": "twice"})).status_code == 429
