"""Fills the queue of a database: many accounts, three classes, jobs in steps of very different size.

The rows are those of accepted jobs; where they come from, the admission of each, is left out.
"""

import random
import time
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg

ACCOUNTS: Final = 200
_SEED: Final = 20_261
_CLASSES: Final = ("interactive", "api", "batch")
_WEIGHTS: Final = (2, 6, 1)
_STEPS: Final = {"interactive": (1,), "api": (1, 5, 50, 500), "batch": (100, 1000, 10_000)}

_ACCOUNTS: Final[LiteralString] = """
    INSERT INTO accounts (email, plan) SELECT 'chaos-' || uuidv4() || '@example.org', 'unlimited'
    FROM generate_series(1, %s) RETURNING id
"""
_JOBS: Final[LiteralString] = """
    WITH admitted AS (
        INSERT INTO detections (account_id, status, attempt, modality, filename, media_type, size_bytes, request_id,
            charged_on, job_id)
        SELECT %(account)s, 'queued', uuidv4(), 'image', 'picture.jpg', 'image/jpeg', 1000, 'chaos',
            (now() AT TIME ZONE 'utc')::date, uuidv7()
        FROM generate_series(1, %(count)s) RETURNING id, job_id
    )
    INSERT INTO jobs (id, account_id, detection_id, class, request_id)
    SELECT job_id, %(account)s, id, %(class)s, 'chaos' FROM admitted RETURNING id
"""

Database = psycopg.Connection[Any]


def make_accounts(database: Database, count: int = ACCOUNTS) -> list[UUID]:
    """Accounts without a limit."""
    return [row[0] for row in database.execute(_ACCOUNTS, (count,))]


def put(database: Database, account: UUID, of_class: str, count: int) -> list[UUID]:
    """Queue jobs of an account in one step; returns their ids in the order in which they were given."""
    with database.transaction():
        parameters = {"account": account, "class": of_class, "count": count}
        ids = [row[0] for row in database.execute(_JOBS, parameters)]
        database.execute("SELECT enqueue_jobs(%s, %s, %s)", (account, of_class, ids))
    return ids


def fill(database: Database, accounts: list[UUID], count: int) -> list[tuple[int, float]]:
    """Queue `count` jobs; how many each step had, and the seconds that it took."""
    chance = random.Random(_SEED)  # noqa: S311 - Whose turn it is to hand work over.
    steps: list[tuple[int, float]] = []
    waiting = 0
    while waiting < count:
        of_class = chance.choices(_CLASSES, _WEIGHTS)[0]
        size = min(chance.choice(_STEPS[of_class]), count - waiting)
        began = time.perf_counter()
        put(database, chance.choice(accounts), of_class, size)
        steps.append((size, time.perf_counter() - began))
        waiting += size
    return steps
