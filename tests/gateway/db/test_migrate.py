import asyncio
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from gateway.db.migrate import migrate, newest_revision

pytestmark = pytest.mark.integration


async def test_several_processes_may_migrate_an_empty_database_at_once(postgres_server: Any) -> None:
    name = f"test_{uuid4().hex}"
    async with await psycopg.AsyncConnection.connect(postgres_server.conninfo("bonafide"), autocommit=True) as admin:
        await admin.execute(f"CREATE DATABASE {name}")
        url = postgres_server.url(name)
        await asyncio.gather(*(asyncio.to_thread(migrate, url) for _ in range(4)))
        async with await psycopg.AsyncConnection.connect(postgres_server.conninfo(name)) as connection:
            rows = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchall()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    assert rows == [(newest_revision(),)]


async def test_identifiers_sort_by_creation(database: psycopg.AsyncConnection[Any]) -> None:
    for number in range(20):
        await database.execute("INSERT INTO accounts (email) VALUES (%s)", (f"{number}@example.org",))
    rows = await (await database.execute("SELECT email FROM accounts ORDER BY id")).fetchall()
    assert [email for (email,) in rows] == [f"{number}@example.org" for number in range(20)]
