import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from gateway.audit.chain import Chainer
from gateway.audit.service import SYSTEM, Act, record
from gateway.audit.verification import Finding, Head, verify
from gateway.db.engine import Database, open_database
from gateway.settings import GatewaySettings

pytestmark = pytest.mark.integration

Connection = psycopg.AsyncConnection[Any]
EVENTS = 6


@pytest.fixture
async def opened(gateway_settings: GatewaySettings) -> AsyncGenerator[Database]:
    async with open_database(gateway_settings) as database:
        yield database


async def write(opened: Database, count: int = 1) -> None:
    async with opened.engine.begin() as connection:
        for number in range(count):
            after = {"ordinal": number, "share": 0.1, "word": "Grüße", "nested": {"b": None, "a": [True]}}
            await record(connection, Act(SYSTEM, "plan.change", "plan", str(uuid4()), {"ordinal": None}, after))


@pytest.fixture
async def chained(opened: Database) -> Database:
    """A database with a chain of some events."""
    await write(opened, EVENTS)
    assert await Chainer(opened.pool).chain() == EVENTS
    return opened


async def tamper(database: Connection, statement: str) -> None:
    """Change the log as somebody would who owns the database."""
    await database.execute("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only")
    await database.execute(statement.encode())
    await database.execute("ALTER TABLE audit_events ENABLE TRIGGER audit_events_append_only")


async def test_a_chain_is_intact_and_what_waits_is_told(chained: Database, database: Connection) -> None:
    await write(chained, 2)
    report = await verify(database)
    assert report.intact
    assert (report.events, report.unchained) == (EVENTS, 2)
    assert report.oldest_unchained is not None
    assert report.head is not None
    assert report.head.place == EVENTS
    assert await Chainer(chained.pool).chain() == 2
    after = await verify(database, noted=report.head)
    assert after.intact
    assert (after.events, after.unchained) == (EVENTS + 2, 0)


async def test_an_empty_log_is_intact(opened: Database, database: Connection) -> None:
    assert await Chainer(opened.pool).chain() == 0
    report = await verify(database)
    assert report.intact
    assert report.head is None


@pytest.mark.parametrize(
    "change",
    [
        "actor_kind = 'user'",
        "action = 'plan.read'",
        "at = at - interval '1 microsecond'",
        "target_id = 'another'",
        "before = NULL",
        "after = after || '{\"share\": 0.2}'",
        "address = '192.0.2.1'",
        "id = uuidv7()",
        "chain_hash = sha256('x')",
    ],
)
async def test_a_changed_event_is_found(chained: Database, database: Connection, change: str) -> None:
    assert chained
    await tamper(database, f"UPDATE audit_events SET {change} WHERE place = 3")  # noqa: S608 - It is what is tested.
    findings = (await verify(database)).findings
    # With another hash of its own, its successor does not fit either.
    extra = [Finding(4, 4, "changed")] if change.startswith("chain_hash") else []
    assert findings == [Finding(3, 3, "changed"), *extra]


async def test_removed_events_are_found(chained: Database, database: Connection) -> None:
    assert chained
    await tamper(database, "DELETE FROM audit_events WHERE place IN (1, 3, 4)")
    assert (await verify(database)).findings == [Finding(1, 1, "missing"), Finding(3, 4, "missing")]


async def test_a_removed_event_is_found_though_the_later_ones_moved_up(chained: Database, database: Connection) -> None:
    assert chained
    await tamper(database, "DELETE FROM audit_events WHERE place = 2")
    await tamper(database, "UPDATE audit_events SET place = place - 1 + 100 WHERE place > 2")
    await tamper(database, "UPDATE audit_events SET place = place - 100 WHERE place > 100")
    assert Finding(2, 2, "changed") in (await verify(database)).findings


async def test_swapped_events_are_found(chained: Database, database: Connection) -> None:
    assert chained
    await tamper(database, "UPDATE audit_events SET place = 100 WHERE place = 2")
    await tamper(database, "UPDATE audit_events SET place = 2 WHERE place = 5")
    await tamper(database, "UPDATE audit_events SET place = 5 WHERE place = 100")
    findings = (await verify(database)).findings
    assert Finding(2, 2, "changed") in findings
    assert Finding(5, 5, "changed") in findings


async def test_a_forged_event_is_found(chained: Database, database: Connection) -> None:
    await write(chained)
    await tamper(database, "UPDATE audit_events SET place = 7, chain_hash = sha256('x') WHERE place IS NULL")
    assert (await verify(database)).findings == [Finding(EVENTS + 1, EVENTS + 1, "changed")]


async def test_a_head_that_was_noted_betrays_a_cut_end_and_a_chain_written_anew(
    chained: Database, database: Connection
) -> None:
    noted = (await verify(database)).head
    assert noted is not None
    assert Head.parse(str(noted)) == noted
    await tamper(database, "DELETE FROM audit_events WHERE place > 4")
    assert (await verify(database)).intact
    assert (await verify(database, noted=noted)).findings == [Finding(EVENTS - 1, EVENTS, "missing")]

    await tamper(database, "UPDATE audit_events SET place = NULL, chain_hash = NULL, action = 'plan.forged'")
    await write(chained, 2)
    await Chainer(chained.pool).chain()
    assert (await verify(database)).intact
    assert (await verify(database, noted=noted)).findings == [Finding(EVENTS, EVENTS, "not_the_noted_one")]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET action = 'x' WHERE place = 1",
        "UPDATE audit_events SET place = 100 WHERE place = 1",
        "UPDATE audit_events SET place = 100, action = 'x' WHERE place IS NULL",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
    ],
)
async def test_the_database_itself_refuses_changes(chained: Database, database: Connection, statement: str) -> None:
    await write(chained)
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        await database.execute(statement.encode())
    assert (await verify(database)).events == EVENTS


async def test_many_writers_and_chainers_make_one_chain(opened: Database, database: Connection) -> None:
    written = asyncio.Event()

    async def chain() -> None:
        while not written.is_set():
            await Chainer(opened.pool).chain()

    chainers = [asyncio.create_task(chain()) for _ in range(3)]
    await asyncio.gather(*(write(opened, 5) for _ in range(30)))
    written.set()
    await asyncio.gather(*chainers)
    await Chainer(opened.pool).chain()
    report = await verify(database)
    assert report.intact
    assert (report.events, report.unchained) == (150, 0)


async def test_a_long_queue_is_caught_up_with_at_once(opened: Database, database: Connection) -> None:
    await database.execute(
        """
        INSERT INTO audit_events (actor_kind, action, target_kind)
        SELECT 'system', 'plan.change', 'plan' FROM generate_series(1, 1100)
        """
    )
    assert await Chainer(opened.pool).catch_up() == 1100
    report = await verify(database)
    assert (report.intact, report.events, report.unchained) == (True, 1100, 0)


async def test_a_writer_does_not_wait_for_the_chain(opened: Database, database: Connection) -> None:
    await write(opened)
    async with database.transaction():
        await database.execute("SELECT pg_advisory_xact_lock(hashtext('bonafide.audit'))")
        assert await Chainer(opened.pool).chain() == 0
        await asyncio.wait_for(write(opened), 5)
    assert await Chainer(opened.pool).chain() == 2
