import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, LiteralString
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from sqlalchemy import NullPool, create_engine

from gateway.db.migrate import alembic_config, migrate, newest_revision

pytestmark = pytest.mark.integration


# Name, daily limit, burst limit, burst period: what accounts of the first revision could have; and the plan, the daily
# limit, the burst limit and its period that they have now.
LIMITS = (
    (("usual", 100, 100, 60), ("standard", None, None, None)),
    (("none", None, None, 60), ("unlimited", None, None, None)),
    (("more", 500, 20, 10), ("standard", 500, 20, 10)),
    (("daily only", 7, None, 60), ("standard", 7, 2147483647, None)),
    (("burst only", None, 5, 30), ("standard", 2147483647, 5, 30)),
    (("other period", 100, 100, 30), ("standard", None, 100, 30)),
)
BEFORE: Final[LiteralString] = """
    INSERT INTO api_keys (account_id, digest, prefix, is_primary)
    SELECT id, sha256(email::bytea), 'bf', true FROM accounts;
    INSERT INTO usage_days (account_id, day, charged)
    SELECT id, day, charged FROM accounts, (VALUES (DATE '2020-01-01', 4), ('2020-01-02', 3)) v (day, charged)
    WHERE email = 'usual';
    INSERT INTO bursts (account_id, arrival_at) SELECT id, '2020-01-02 12:00Z' FROM accounts WHERE email = 'usual';
    INSERT INTO detections (account_id, key_id, status, attempt, modality, filename, media_type, size_bytes, request_id,
        charged_on, refunded, deadline_at, verdict, p_fake)
    SELECT a.id, k.id, v.status, uuidv7(), 'image', 'a', 'image/jpeg', size, 'r', day, v.status = 'failed', now(),
        verdict, p_fake
    FROM accounts a JOIN api_keys k ON k.account_id = a.id, (VALUES
        ('succeeded', 1000, DATE '2020-01-01', 'REAL', 0.1),
        ('succeeded', 20, '2020-01-02', 'FAKE', 0.9), ('succeeded', 30, '2020-01-02', 'UNCERTAIN', 0.5),
        ('failed', 400, '2020-01-02', NULL, NULL), ('running', 10, '2020-01-02', NULL, NULL)
    ) v (status, size, day, verdict, p_fake)
    WHERE email = 'usual';
"""
METER = "SELECT day::text, charged, bytes, total, arrival_at = '2020-01-02 12:00Z' FROM meters"
DAYS = """
    SELECT day::text, succeeded, failed, fake, verdict_real, verdict_fake, verdict_uncertain, charged, bytes
    FROM detection_days WHERE key_id = (SELECT key_id FROM detections LIMIT 1) ORDER BY day
"""


@asynccontextmanager
async def empty_database(postgres_server: Any) -> AsyncGenerator[tuple[str, psycopg.AsyncConnection[Any]]]:
    """The address of a database without tables, and a connection to it in autocommit."""
    name = f"test_{uuid4().hex}"
    async with await psycopg.AsyncConnection.connect(postgres_server.conninfo("bonafide"), autocommit=True) as admin:
        await admin.execute(f"CREATE DATABASE {name}".encode())
        try:
            async with await psycopg.AsyncConnection.connect(postgres_server.conninfo(name), autocommit=True) as one:
                yield postgres_server.url(name), one
        finally:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def test_several_processes_may_migrate_an_empty_database_at_once(postgres_server: Any) -> None:
    async with empty_database(postgres_server) as (url, connection):
        await asyncio.gather(*(asyncio.to_thread(migrate, url) for _ in range(4)))
        rows = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchall()
    assert rows == [(newest_revision(),)]


async def test_what_the_first_revision_held_is_moved(postgres_server: Any) -> None:
    async with empty_database(postgres_server) as (url, connection):
        await asyncio.to_thread(migrate_to_the_first, url)
        for before, _ in LIMITS:
            await connection.execute(
                "INSERT INTO accounts (email, daily_limit, burst_limit, burst_period_s) VALUES (%s, %s, %s, %s)", before
            )
        await connection.execute(BEFORE)
        await asyncio.to_thread(migrate, url)

        async def ask(query: str) -> list[tuple[Any, ...]]:
            return await (await connection.execute(query.encode())).fetchall()

        limits = await ask("SELECT email, plan, daily_limit, burst_limit, burst_period_s FROM accounts ORDER BY id")
        assert limits == [(before[0], *after) for before, after in LIMITS]
        assert await ask("SELECT DISTINCT scopes FROM api_keys") == [(["*"],)]
        assert await ask(METER) == [("2020-01-02", 3, 60, 7, True)]
        counted = [("2020-01-01", 1, 0, 0, 1, 0, 0, 1, 1000), ("2020-01-02", 2, 1, 2, 0, 1, 1, 2, 50)]
        assert await ask(DAYS) == counted

        # What was running when the gateway was replaced is refunded, and nothing is refunded that was not counted.
        assert await ask("SELECT sweep_detections(10)") == [(1,)]
        assert await ask(METER) == [("2020-01-02", 2, 50, 6, True)]
        assert await ask(DAYS) == [counted[0], ("2020-01-02", 2, 2, 2, 0, 1, 1, 2, 50)]


def migrate_to_the_first(url: str) -> None:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.commit()
    engine.dispose()


async def test_identifiers_sort_by_creation(database: psycopg.AsyncConnection[Any]) -> None:
    for number in range(20):
        await database.execute("INSERT INTO accounts (email) VALUES (%s)", (f"{number}@example.org",))
    rows = await (await database.execute("SELECT email FROM accounts ORDER BY id")).fetchall()
    assert [email for (email,) in rows] == [f"{number}@example.org" for number in range(20)]
