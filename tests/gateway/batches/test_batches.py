"""Batches of uploads, from the request to the results, over a real Postgres, a real queue and a worker."""

import asyncio
import csv
import io
import json
from typing import Any
from uuid import uuid4

import pytest

from bentos.contract import ErrorBody, Modality
from gateway.detections.fakes import Script
from gateway.queue.runner import Runner
from tests.fixtures.gateway import Client, eventually, make_account
from tests.gateway.batches.conftest import (
    LINES,
    Database,
    Uploads,
    ended,
    items,
    made,
    one,
    read,
    send,
)

pytestmark = pytest.mark.integration

Bentos = dict[Modality, Script]


def naming(ids: list[str], **fields: Any) -> dict[str, Any]:
    return {"items": [{"upload_id": one} for one in ids], **fields}


async def nothing_is_done(client: Client, database: Database) -> None:
    assert await client.used() == 0
    for table in ("batches", "batch_items", "jobs", "detections"):
        assert await one(database, f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608 - Constants.
    assert await one(database, "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'batch'") == 0


async def test_each_item_is_a_job_charged_and_judged_for_itself(
    client: Client, uploads: Uploads, worker: Runner
) -> None:
    assert worker
    ids = await uploads(5)
    body = naming(ids, name="holiday")
    body["items"][2] |= {"client_reference": "third", "tags": ["a", "b"]}
    batch = await made(client, body)
    assert (batch["name"], batch["status"], batch["total"]) == ("holiday", "expanding", 5)
    assert batch["counts"]["queued"] == 5
    done = await ended(client, batch["id"])
    assert (done["status"], done["progress"], done["remaining_s"]) == ("finished", 1.0, None)
    assert done["counts"] == {"queued": 0, "running": 0, "succeeded": 5, "failed": 0, "cancelled": 0}
    assert done["verdicts"] == {"real": 5, "fake": 0, "uncertain": 0}
    assert await client.used() == 5
    found = await items(client, batch["id"])
    assert [(one["place"], one["status"], one["upload_id"]) for one in found] == [
        (place, "succeeded", upload) for place, upload in enumerate(ids)
    ]
    assert (found[2]["client_reference"], found[2]["tags"]) == ("third", ["a", "b"])
    assert found[2]["detection"]["client_reference"] == "third"
    job = (await client.get(f"/v1/jobs/{found[0]['job_id']}")).json()
    assert (job["batch_id"], job["priority"], job["verdict"]) == (batch["id"], "batch", "REAL")
    assert len((await client.get("/v1/detections")).json()["data"]) == 5


async def test_results_come_in_the_order_of_the_items_as_lines_and_as_a_table(
    client: Client, uploads: Uploads, worker: Runner
) -> None:
    assert worker
    ids = await uploads(3)
    body = naming(ids)
    body["items"][1]["client_reference"] = "=1+1"
    batch = await made(client, body)
    await ended(client, batch["id"])
    answer = await client.get(f"/v1/batches/{batch['id']}/results")
    assert answer.headers["content-type"] == "application/jsonl"
    assert "attachment" in answer.headers["content-disposition"]
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["upload_id"] for line in lines] == ids
    assert lines == await items(client, batch["id"])
    table = await client.get(f"/v1/batches/{batch['id']}/results", params={"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["upload_id"] for row in rows] == ids
    assert {row["verdict"] for row in rows} == {"REAL"}
    assert rows[1]["client_reference"] == "'=1+1"


async def test_a_failed_item_fails_alone_and_costs_nothing(
    client: Client, uploads: Uploads, worker: Runner, bentos: Bentos
) -> None:
    assert worker
    batch = await made(client, naming(await uploads(3)))
    await ended(client, batch["id"])
    bentos[Modality.IMAGE].refusal = (400, ErrorBody(code="unreadable_media", message="The file is damaged."))
    broken = await made(client, naming(await uploads(2)))
    done = await ended(client, broken["id"])
    assert (done["status"], done["counts"]["failed"]) == ("finished", 2)
    (first, _) = await items(client, broken["id"], status="failed")
    assert (first["error"]["code"], first["detection"]) == ("unreadable_media", None)
    assert await items(client, broken["id"], status="succeeded") == []
    assert await client.used() == 3


async def test_lines_make_a_batch_too(client: Client, uploads: Uploads, worker: Runner) -> None:
    assert worker
    ids = await uploads(3)
    lines = "\n".join(json.dumps({"upload_id": one}) for one in ids) + "\n\n"
    batch = await made(client, lines.encode(), headers=LINES, name="lines")
    assert (await ended(client, batch["id"]))["counts"]["succeeded"] == 3
    assert (await read(client, batch["id"]))["name"] == "lines"


async def test_faulty_lines_are_named_and_nothing_is_done(client: Client, uploads: Uploads, database: Database) -> None:
    (mine,) = await uploads(1)
    lines = [json.dumps({"upload_id": mine}), "{", json.dumps({"upload_id": "x"}), json.dumps({"unknown": 1})]
    answer = await send(client, "\n".join(lines).encode(), headers=LINES)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_items")
    assert [one["field"] for one in answer.json()["errors"]] == ["line 2", "line 3", "line 4"]
    await nothing_is_done(client, database)


@pytest.mark.parametrize("as_lines", [False, True])
async def test_uploads_that_are_not_ones_own_refuse_the_whole_call(
    client: Client, uploads: Uploads, database: Database, as_lines: bool
) -> None:
    await make_account(database, "other@example.org")
    other = await one(database, "SELECT id FROM accounts WHERE email = 'other@example.org'")
    (foreign,) = await uploads(1, account_id=other)
    ids = [*await uploads(2), foreign, str(uuid4())]
    body: Any = naming(ids)
    if as_lines:
        body = "\n".join(json.dumps(item) for item in body["items"]).encode()
    answer = await send(client, body, headers=LINES if as_lines else None)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_items")
    assert [one["field"] for one in answer.json()["errors"]] == ["items.2", "items.3"]
    assert len({one["message"] for one in answer.json()["errors"]}) == 1, "another's is as if it were not there"
    await nothing_is_done(client, database)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"items": []}, 400, "no_items"),
        ({}, 400, "invalid_body"),
        ({"items": [{}]}, 400, "invalid_items"),
        ({"items": [{"upload_id": str(uuid4()), "url": "https://example.org/a.jpg"}]}, 400, "invalid_items"),
        ({"items": [{"url": "https://example.org/a.jpg"}]}, 403, "urls_not_allowed"),
        ({"items": [{"upload_id": str(uuid4()), "account_id": str(uuid4())}]}, 400, "invalid_body"),
        ({"archive": str(uuid4())}, 404, "not_found"),
        (b"[" * 10_000, 400, "invalid_body"),
        (b"\xff\xfe", 400, "invalid_body"),
        (b'{"name": "x", "items": 7}', 400, "invalid_body"),
    ],
)
async def test_what_is_no_batch_is_refused(
    client: Client, database: Database, body: Any, status: int, code: str
) -> None:
    answer = await send(client, body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    await nothing_is_done(client, database)


@pytest.mark.parametrize("as_lines", [False, True])
async def test_one_item_too_many_is_refused(client: Client, database: Database, as_lines: bool) -> None:
    item = {"upload_id": str(uuid4())}
    body: Any = {"items": [item] * 10_001}
    if as_lines:
        body = b"\n".join([json.dumps(item).encode()] * 10_001)
    answer = await send(client, body, headers=LINES if as_lines else None)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_items")
    await nothing_is_done(client, database)


async def test_a_body_that_is_too_large_or_of_another_kind_is_refused(client: Client, database: Database) -> None:
    answer = await send(client, b" " * (8 * 1024 * 1024 + 1), headers=LINES)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    answer = await send(client, b"hello", headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    await nothing_is_done(client, database)


async def test_what_does_not_fit_into_the_day_is_refused_before_anything_is_done(
    client: Client, uploads: Uploads, database: Database
) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 2")
    ids = await uploads(3)
    answer = await send(client, naming(ids))
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert int(answer.headers["retry-after"]) > 0
    await nothing_is_done(client, database)


async def test_items_that_do_not_fit_after_all_fail_and_the_others_do_not(
    client: Client, uploads: Uploads, worker: Runner, database: Database
) -> None:
    ids = await uploads(4)
    batch = await made(client, naming(ids))
    await database.execute("UPDATE accounts SET daily_limit = 2")
    done = await ended(client, batch["id"])
    assert worker
    # The worker may have been quicker than the change of the limit.
    if done["counts"]["failed"]:
        assert (done["counts"]["succeeded"], done["counts"]["failed"]) == (2, 2)
        found = await items(client, batch["id"], status="failed")
        assert {(one["error"]["code"], one["job_id"]) for one in found} == {("quota_exceeded", None)}
    assert await client.used() == done["counts"]["succeeded"]


@pytest.mark.parametrize("as_lines", [False, True])
async def test_a_repeated_call_is_answered_as_the_first_and_makes_nothing(
    client: Client, uploads: Uploads, worker: Runner, database: Database, as_lines: bool
) -> None:
    assert worker
    ids = await uploads(3)
    body: Any = naming(ids)
    headers = {"idempotency-key": "once"}
    if as_lines:
        body = "\n".join(json.dumps(item) for item in body["items"]).encode()
        headers |= LINES
    first = await made(client, body, headers=headers)
    together = await asyncio.gather(*(send(client, body, headers=headers) for _ in range(3)))
    assert {answer.status_code for answer in together} <= {202, 409}
    again = [await send(client, body, headers=headers) for _ in range(2)]
    assert {answer.status_code for answer in again} == {202}
    assert {answer.json()["id"] for answer in again} == {first["id"]}
    assert {answer.headers["idempotency-replayed"] for answer in again} == {"true"}
    await ended(client, first["id"])
    assert await client.used() == 3
    assert await one(database, "SELECT count(*) FROM jobs") == 3
    other = await send(client, naming(ids[:1]), headers={"idempotency-key": "once"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_cancelling_refunds_what_has_not_ended_and_leaves_the_rest(
    client: Client, uploads: Uploads, database: Database, bentos: Bentos, worker: Runner
) -> None:
    assert worker
    bentos[Modality.IMAGE].delay_s = 20
    batch = await made(client, naming(await uploads(12)))

    async def runs() -> bool:
        return (await read(client, batch["id"]))["counts"]["running"] > 0

    await eventually(runs)
    answer = await client.http.post(f"/v1/batches/{batch['id']}/cancel", headers=client.headers())
    assert answer.status_code == 200, answer.text
    done = await ended(client, batch["id"], within_s=5)
    assert (done["status"], done["error"]["code"]) == ("cancelled", "cancelled")
    assert done["counts"]["cancelled"] == 12
    assert await client.used() == 0
    again = await client.http.post(f"/v1/batches/{batch['id']}/cancel", headers=client.headers())
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")
    assert await one(database, "SELECT count(*) FROM jobs WHERE status <> 'cancelled'") == 0


async def test_a_batch_that_has_ended_cannot_be_cancelled(client: Client, uploads: Uploads, worker: Runner) -> None:
    assert worker
    batch = await made(client, naming(await uploads(1)))
    await ended(client, batch["id"])
    answer = await client.http.post(f"/v1/batches/{batch['id']}/cancel", headers=client.headers())
    assert (answer.status_code, answer.json()["code"]) == (409, "batch_ended")


async def test_a_batch_cancelled_before_a_worker_saw_it_makes_no_jobs(
    client: Client, uploads: Uploads, database: Database
) -> None:
    batch = await made(client, naming(await uploads(3)))
    answer = await client.http.post(f"/v1/batches/{batch['id']}/cancel", headers=client.headers())
    assert (answer.json()["status"], answer.json()["counts"]["cancelled"]) == ("cancelled", 3)
    assert answer.json()["ended_at"]
    assert {one["status"] for one in await items(client, batch["id"])} == {"cancelled"}
    assert await one(database, "SELECT count(*) FROM jobs") == 0


async def test_pages_of_batches_and_of_items(client: Client, uploads: Uploads, worker: Runner) -> None:
    assert worker
    ids = await uploads(5)
    batches = [await made(client, naming(ids[:count])) for count in (5, 1, 1)]
    page = (await client.get("/v1/batches", params={"limit": 2})).json()
    rest = (await client.get("/v1/batches", params={"cursor": page["next_cursor"]})).json()
    assert [one["id"] for one in (*page["data"], *rest["data"])] == [one["id"] for one in reversed(batches)]
    assert rest["next_cursor"] is None
    cursor, found = None, []
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        answer = (await client.get(f"/v1/batches/{batches[0]['id']}/items", params=query)).json()
        found += [one["place"] for one in answer["data"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert found == [0, 1, 2, 3, 4]
    wrong = await client.get(f"/v1/batches/{batches[0]['id']}/items", params={"cursor": "x"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_cursor")
