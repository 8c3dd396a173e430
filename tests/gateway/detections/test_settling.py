"""What was admitted is settled once: by its answer, by a failure, or by the sweep, whatever dies in between."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from bentos.contract import Modality
from gateway.app import build_app
from gateway.db.engine import Pool, open_database
from gateway.detections.admission import Admission
from gateway.detections.fakes import Script
from gateway.detections.statements import SWEEP
from gateway.settings import GatewaySettings
from tests.fixtures.admissions import admit, make_holder, order, verdict
from tests.fixtures.gateway import Client, eventually, make_account, running_app

pytestmark = pytest.mark.integration


@asynccontextmanager
async def gateway_without_bentos(settings: GatewaySettings) -> AsyncGenerator[Client]:
    async with (
        running_app(build_app(settings)) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http,
    ):
        yield Client(http)


async def until_running(database: Any, count: int = 1) -> None:
    async def reached() -> bool:
        row = await (await database.execute("SELECT count(*) FROM detections WHERE status = 'running'")).fetchone()
        return row[0] == count

    await eventually(reached)


async def rows(database: Any) -> list[tuple[Any, ...]]:
    return await (await database.execute("SELECT status, refunded, error_code FROM detections ORDER BY id")).fetchall()


async def charged(database: Any) -> int:
    row = await (await database.execute("SELECT coalesce(sum(charged), 0) FROM meters")).fetchone()
    return row[0]


async def sweep(pool: Pool) -> int:
    async with pool.connection() as connection:
        row = await (await connection.execute(SWEEP)).fetchone()
    assert row
    return row[0]


async def test_a_bento_that_is_away_is_503_with_retry_after_and_refunded(
    gateway_settings: GatewaySettings, database: Any
) -> None:
    async with gateway_without_bentos(gateway_settings) as client:
        client.key = await make_account(database)
        answer = await client.detect()
        assert answer.status_code == 503
        assert answer.json()["code"] == "inference_unavailable"
        assert int(answer.headers["retry-after"]) >= 1
        ready = await client.http.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["modalities"] == {"image": False, "video": False, "audio": False, "text": False}
        assert (await client.get("/v1/models")).json() == {
            "models": [],
            "unavailable": ["image", "video", "audio", "text"],
        }
    assert await rows(database) == [("failed", True, "inference_unavailable")]
    assert await charged(database) == 0


async def test_no_database_connection_is_held_while_a_bento_works(
    client: Client, bentos: dict[Modality, Script], database: Any
) -> None:
    await database.execute("UPDATE accounts SET burst_limit = NULL")
    bentos[Modality.IMAGE].delay_s = 1.5
    many = [asyncio.create_task(client.detect()) for _ in range(40)]
    await until_running(database, 40)
    usage = await asyncio.wait_for(client.get("/v1/usage"), 1)
    assert usage.json()["day"]["used"] == 40
    assert {answer.status_code for answer in await asyncio.gather(*many)} == {200}


async def test_what_a_crash_left_running_is_closed_and_refunded_once_by_however_many_sweeps(
    client: Client, bentos: dict[Modality, Script], database: Any, gateway_settings: GatewaySettings
) -> None:
    bentos[Modality.IMAGE].delay_s = 3
    late = [asyncio.create_task(client.detect()) for _ in range(5)]
    await until_running(database, 5)
    async with open_database(gateway_settings) as gateway_database:
        assert await sweep(gateway_database.pool) == 0
        await database.execute("UPDATE detections SET deadline_at = now() - interval '1 s'")
        swept = await asyncio.gather(*(sweep(gateway_database.pool) for _ in range(4)))
    assert sum(swept) == 5
    assert await rows(database) == [("failed", True, "abandoned")] * 5
    assert await charged(database) == 0
    # Their answers come too late: refused, whatever they say, and not refunded again.
    for answer in await asyncio.gather(*late):
        assert answer.status_code == 504
        assert answer.json()["code"] == "deadline_exceeded"
    assert await rows(database) == [("failed", True, "abandoned")] * 5
    assert await charged(database) == 0


async def test_the_gateway_sweeps_by_itself(gateway_settings: GatewaySettings, database: Any) -> None:
    key = await make_account(database)
    await database.execute(
        """
        INSERT INTO detections (account_id, status, attempt, modality, filename, media_type, size_bytes, request_id,
            charged_on, deadline_at)
        SELECT id, 'running', uuidv4(), 'image', 'a', 'image/jpeg', 1, 'r', current_date, now() - interval '1 s'
        FROM accounts
        """
    )
    await database.execute(
        """
        INSERT INTO meters (subject_id, day, charged, total, arrival_at)
        SELECT id, current_date, 1, 1, now() FROM accounts
        """
    )
    async with gateway_without_bentos(gateway_settings) as client:
        client.key = key

        async def refunded() -> bool:
            return await charged(database) == 0

        await eventually(refunded)
        (entry,) = (await client.get("/v1/detections")).json()["data"]
    assert entry["status"] == "failed"
    assert entry["error"]["code"] == "abandoned"


async def test_a_caller_that_is_cancelled_is_settled_all_the_same(
    client: Client, bentos: dict[Modality, Script], database: Any
) -> None:
    bentos[Modality.IMAGE].delay_s = 0.5
    caller = asyncio.create_task(client.detect())
    await until_running(database)
    caller.cancel()
    await until_running(database, 0)
    assert await rows(database) == [("succeeded", False, None)]
    assert await charged(database) == 1


async def test_stopping_waits_for_what_is_in_flight(
    gateway_settings: GatewaySettings, bentos: dict[Modality, Script], database: Any
) -> None:
    bentos[Modality.IMAGE].delay_s = 1
    async with gateway_without_bentos(gateway_settings) as client:
        client.key = await make_account(database)
        caller = asyncio.create_task(client.detect())
        await until_running(database)
    assert await rows(database) == [("succeeded", False, None)]
    assert (await caller).status_code == 200


async def test_stopping_refunds_what_does_not_end_in_time(
    gateway_settings: GatewaySettings, bentos: dict[Modality, Script], database: Any
) -> None:
    bentos[Modality.IMAGE].delay_s = 20
    hurried = gateway_settings.model_copy(update={"drain_timeout_s": 0.2})
    async with gateway_without_bentos(hurried) as client:
        client.key = await make_account(database)
        caller = asyncio.create_task(client.detect())
        await until_running(database)
        caller.cancel()
    assert await rows(database) == [("failed", True, "interrupted")]
    assert await charged(database) == 0


async def test_postgres_sessions_cut_under_load_lose_nothing(
    client: Client, bentos: dict[Modality, Script], database: Any
) -> None:
    await database.execute("UPDATE accounts SET burst_limit = NULL, daily_limit = NULL")
    bentos[Modality.IMAGE].delay_s = 0.05
    statuses: list[int] = []

    async def caller() -> None:
        statuses.extend([(await client.detect()).status_code for _ in range(15)])

    async def saboteur() -> None:
        for _ in range(3):
            await asyncio.sleep(0.2)
            await database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    await asyncio.gather(saboteur(), *(caller() for _ in range(6)))
    assert set(statuses) <= {200, 503}
    assert (await client.detect()).status_code == 200
    await database.execute("UPDATE detections SET deadline_at = now() - interval '1 s' WHERE status = 'running'")
    await until_running(database, 0)
    succeeded = await (await database.execute("SELECT count(*) FROM detections WHERE status = 'succeeded'")).fetchone()
    assert succeeded[0] == statuses.count(200) + 1
    assert await charged(database) == succeeded[0]


async def test_an_answer_that_cannot_be_kept_fails_and_is_refunded(
    client: Client, bentos: dict[Modality, Script], database: Any
) -> None:
    # PostgreSQL keeps no such character.
    bentos[Modality.IMAGE].models = {"image\x00fake": "Fake"}
    answer = await client.detect()
    assert answer.status_code == 500
    assert await rows(database) == [("failed", True, answer.json()["code"])]
    assert await charged(database) == 0


async def test_however_many_are_settled_at_once_none_is_turned_away(
    gateway_settings: GatewaySettings, database: Any
) -> None:
    """Each of them was admitted; a limit of what may wait would lose verdicts that were charged."""
    holder = await make_holder(database)
    async with open_database(gateway_settings) as gateway_database:
        admission = Admission(gateway_database.pool)
        one = await admit(admission, order(holder))
        copied = await (
            await database.execute(
                """
                INSERT INTO detections (account_id, key_id, status, attempt, modality, filename, media_type, size_bytes,
                    media_digest, request_id, charged_on, deadline_at)
                SELECT account_id, key_id, status, uuidv4(), modality, filename, media_type, size_bytes, media_digest,
                    request_id, charged_on, deadline_at
                FROM detections, generate_series(1, 2200) RETURNING id, attempt
                """
            )
        ).fetchall()
        many = (replace(one, id=detection_id, attempt=attempt) for detection_id, attempt in copied)
        closed = await asyncio.gather(*(admission.settle(admitted, verdict()) for admitted in many))
    assert len([done for done in closed if done is not None]) == 2200
