"""The history as a file: complete, harmless in a spreadsheet, sent while it is made."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx
import psutil
import pytest

from gateway.app import build_app
from gateway.detections.schemas import DetectionSummary
from gateway.history import service
from gateway.history.export import COLUMNS, ExportFormat, guard_cell, write_export
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import Client, make_account, running_app
from tests.fixtures.history import account_of, add_detection

EXPORT = "/v1/detections/export"

MANY = """
INSERT INTO detections (id, account_id, status, attempt, modality, filename, media_type, size_bytes, request_id,
    charged_on, created_at, deadline_at, settled_at, verdict, p_fake, model, version)
SELECT uuidv7(-n * interval '1 s'), %s, 'succeeded', uuidv4(), 'image', 'file-' || n, 'image/jpeg', 1, 'r',
    current_date, now() - n * interval '1 s', now(), now(), 'REAL', 0.1, 'image_fake', 1
FROM generate_series(1, %s) AS n
"""

LONG_TRANSACTIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND now() - xact_start > interval '1 s'
"""


@pytest.mark.integration
async def test_both_formats_hold_what_the_list_holds(client: Client, database: Any) -> None:
    account = await account_of(database, client.key)
    for n in range(7):
        await add_detection(database, account, modality="video" if n % 2 else "image", tags=["a", "b"])
    await add_detection(database, account, status="failed", error_code="unreadable_media")
    await add_detection(database, account, feedback="fake", client_reference='say "x",\ny')
    await add_detection(database, await account_of(database, await make_account(database, "other@example.org")))
    listed = (await client.get("/v1/detections")).json()["data"]
    lines = await client.get(EXPORT, params={"format": "jsonl"})
    assert lines.headers["content-type"].startswith("application/jsonl")
    assert [json.loads(line) for line in lines.text.splitlines()] == listed
    sheet = await client.get(EXPORT)
    assert sheet.headers["content-type"].startswith("text/csv")
    assert sheet.headers["content-disposition"].startswith('attachment; filename="detections-')
    rows = list(csv.DictReader(io.StringIO(sheet.text, newline="")))
    assert len(rows) == len(listed) == 9
    for row, entry in zip(rows, listed, strict=True):
        assert tuple(row) == COLUMNS
        assert row["id"] == entry["id"]
        assert row["verdict"] == (entry["verdict"] or "")
        assert row["p_fake"] == ("" if entry["p_fake"] is None else str(entry["p_fake"]))
        assert row["tags"] == ";".join(entry["tags"])
        assert row["client_reference"] == (entry["client_reference"] or "")
        assert row["error_code"] == (entry["error"]["code"] if entry["error"] else "")
        assert row["feedback"] == (entry["feedback"]["label"] if entry["feedback"] else "")
    videos = await client.get(EXPORT, params={"format": "jsonl", "modality": "video"})
    assert len(videos.text.splitlines()) == 3


@pytest.mark.integration
async def test_an_empty_history_exports_as_its_heading_or_as_nothing(client: Client) -> None:
    assert (await client.get(EXPORT)).text == ",".join(COLUMNS) + "\r\n"
    answer = await client.get(EXPORT, params={"format": "jsonl"})
    assert (answer.status_code, answer.text) == (200, "")
    assert (await client.get(EXPORT, params={"format": "xlsx"})).status_code == 400


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "\uff1d1", "\uff20x", "  \uff0b1"],
)
def test_what_could_be_a_formula_gets_an_apostrophe(text: str) -> None:
    assert guard_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=1", "1-2", "photo.jpg", "'=1", "ä@b"])
def test_what_is_none_stays_as_it_is(text: str) -> None:
    assert guard_cell(text) == text


@pytest.mark.integration
async def test_every_text_of_a_client_is_guarded(client: Client, database: Any) -> None:
    await add_detection(
        database,
        await account_of(database, client.key),
        filename="=cmd|' /C calc'!A0",
        client_reference="+1",
        tags=["-a", "b"],
        feedback="real",
    )
    await database.execute("UPDATE detections SET feedback_note = '@x'")
    (row,) = csv.DictReader(io.StringIO((await client.get(EXPORT)).text, newline=""))
    assert row["filename"] == "'=cmd|' /C calc'!A0"
    assert (row["client_reference"], row["tags"], row["feedback_note"]) == ("'+1", "'-a;b", "'@x")


@pytest.mark.integration
async def test_a_long_history_comes_whole_in_pieces(client: Client, database: Any) -> None:
    account = await account_of(database, client.key)
    await database.execute(MANY, [account, 2000])
    sizes: list[int] = []
    numbers: list[int] = []
    async with client.http.stream("GET", f"{EXPORT}?format=jsonl", headers=client.headers()) as answer:
        assert "content-length" not in answer.headers
        async for line in answer.aiter_lines():
            sizes.append(len(line))
            numbers.append(int(json.loads(line)["filename"].removeprefix("file-")))
    assert numbers == list(range(1, 2001))


async def test_nothing_is_read_ahead_of_what_is_written() -> None:
    read = 0

    async def batches() -> AsyncGenerator[Sequence[DetectionSummary]]:
        nonlocal read
        for read in range(1, 100):  # noqa: B007 - Counted for the test.
            yield []

    written = write_export(batches(), ExportFormat.JSONL)
    for _ in range(3):
        await anext(written)
    assert read == 3
    await written.aclose()


@pytest.mark.integration
async def test_a_client_that_hangs_up_stops_the_export(gateway_settings: GatewaySettings, database: Any) -> None:
    key = await make_account(database)
    await database.execute(MANY, [await account_of(database, key), 5000])
    async with running_app(build_app(gateway_settings)) as app:
        sent: list[dict[str, Any]] = []
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not sent or not sent[0].get("asked"):
                sent.insert(0, {"asked": True})
                return {"type": "http.request", "body": b"", "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            if len(sent) == 5:
                gone.set()
                await asyncio.sleep(0)

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": EXPORT,
            "raw_path": EXPORT.encode(),
            "query_string": b"format=jsonl",
            "headers": [(b"x-api-key", key.encode())],
            "scheme": "http",
            "server": ("gateway", 80),
            "client": ("127.0.0.1", 1),
            "state": {},
        }
        await asyncio.wait_for(app(scope, receive, send), 10)
        bodies = [message for message in sent if message.get("type") == "http.response.body"]
        assert 1 <= len(bodies) < 5000 / service._BATCH
        assert all(message["more_body"] for message in bodies)
        # Its connection is back in the pool: the next caller is served.
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            assert (await http.get("/v1/detections", headers={"x-api-key": key})).status_code == 200


@pytest.mark.integration
async def test_no_transaction_is_open_and_memory_stays_flat_while_a_slow_client_reads(
    start_gateway: Any, database: Any
) -> None:
    key = await make_account(database)
    await database.execute(MANY, [await account_of(database, key), 100_000])
    await database.execute("ANALYZE detections")
    gateway = await start_gateway()
    processes = [psutil.Process(gateway.process.pid), *psutil.Process(gateway.process.pid).children(recursive=True)]

    def memory() -> int:
        return sum(process.memory_info().rss for process in processes)

    async with httpx.AsyncClient(base_url=gateway.url, headers={"x-api-key": key}, timeout=60) as http:
        assert len((await http.get("/v1/detections")).json()["data"]) == 20
        before = memory()
        received, grown = 0, 0
        async with http.stream("GET", f"{EXPORT}?format=jsonl") as answer:
            async for chunk in answer.aiter_bytes(1_000_000):
                # The whole file would fit into memory: only a client slower than the database tells the difference.
                await asyncio.sleep(0.05)
                received += len(chunk)
                grown = max(grown, memory() - before)
                assert await (await database.execute(LONG_TRANSACTIONS)).fetchone() == (0,)
    assert received > 40_000_000
    assert grown < 12_000_000
