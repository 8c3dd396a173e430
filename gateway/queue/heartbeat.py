"""Whether a worker lives: it beats in the database, and that is what its readiness is asked from."""

from typing import Final

import psycopg

from gateway.db.engine import CONNECTING

FRESH_S: Final = 20


async def last_worker(conninfo: str) -> int:
    """The number of the worker that registered last, 0 where there was none; numbers only grow.

    Raises:
        psycopg.OperationalError: The database does not answer.
    """
    query = "SELECT coalesce(max(id), 0) FROM procrastinate_workers"
    try:
        return await _ask(conninfo, query, {})
    except psycopg.errors.UndefinedTable:
        return 0


async def is_beating(conninfo: str, *, after: int = 0, fresh_s: int = FRESH_S) -> bool:
    """Whether a worker has beaten in the last `fresh_s` seconds that registered after the one with the number `after`.

    Raises:
        psycopg.Error: The database does not answer, or is not migrated.
    """
    query = """
        SELECT count(*) FROM procrastinate_workers
        WHERE id > %(after)s AND last_heartbeat > now() - make_interval(secs => %(fresh_s)s)
    """
    return await _ask(conninfo, query, {"after": after, "fresh_s": fresh_s}) > 0


async def _ask(conninfo: str, query: str, parameters: dict[str, int]) -> int:
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True, **CONNECTING) as database:
        row = await (await database.execute(query.encode(), parameters)).fetchone()
    return 0 if row is None else row[0]
