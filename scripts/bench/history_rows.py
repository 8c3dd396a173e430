"""Fills a database with a history of years: accounts, keys, detections and their counts, made by Postgres itself.

Accounts are busy unequally: the n-th of them has a share that falls with the square root of n. Time runs evenly over
90 days, rows lie in the order of time, as they would have come.
"""

from collections.abc import Callable
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from gateway.db.engine import connection_string
from gateway.db.migrate import migrate
from scripts.stack.postgres import Cluster

ACCOUNTS: Final = 10_000
DAYS: Final = 90
_AT_ONCE: Final = 500_000

_ACCOUNTS: Final[LiteralString] = """
INSERT INTO accounts (email, plan) SELECT 'account-' || n || '@example.org', 'unlimited'
FROM generate_series(1, %(accounts)s) AS n
"""
_KEYS: Final[LiteralString] = """
INSERT INTO api_keys (account_id, digest, prefix, scopes, is_primary)
SELECT id, sha256(('bench-' || number)::bytea), 'sk-live-00000000', '{*}', true FROM accounts ORDER BY number
"""
_METERS: Final[LiteralString] = """
INSERT INTO meters (subject_id, day, arrival_at) SELECT id, (now() AT TIME ZONE 'utc')::date, 'epoch' FROM accounts
"""
_OWNERS: Final[LiteralString] = """
CREATE TEMPORARY TABLE owners AS
SELECT row_number() OVER (ORDER BY a.number) - 1 AS place, a.id AS account_id, k.id AS key_id
FROM accounts a JOIN api_keys k ON k.account_id = a.id
"""
_DETECTIONS: Final[LiteralString] = """
WITH drawn AS MATERIALIZED (
    SELECT n, floor(%(accounts)s * power(random(), 2))::bigint AS place, random() AS p_fake, random() AS luck,
        random() AS kind, (n - %(rows)s) * (%(days)s * interval '1 day' / %(rows)s) AS ago
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
), made AS MATERIALIZED (
    SELECT d.*, now() + ago AS moment, luck < 0.95 AS good, o.account_id,
        CASE WHEN random() < 0.8 THEN o.key_id END AS key_id,
        CASE WHEN kind < 0.8 THEN 'image' WHEN kind < 0.95 THEN 'video' ELSE 'audio' END AS modality
    FROM drawn d JOIN owners o USING (place)
)
INSERT INTO detections (id, account_id, key_id, status, attempt, modality, filename, media_type, size_bytes,
    media_digest, request_id, tags, charged_on, created_at, deadline_at, settled_at, verdict, p_fake, model, version,
    answer, error_code, error_message, feedback, feedback_at)
SELECT uuidv7(ago), account_id, key_id, CASE WHEN good THEN 'succeeded' ELSE 'failed' END, uuidv4(), modality,
    'picture-' || n || '.jpg', 'image/jpeg', 200000, sha256(n::text::bytea), md5(n::text),
    CASE WHEN kind < 0.1 THEN '{night}'::text[] ELSE '{}' END, (moment AT TIME ZONE 'utc')::date, moment, moment,
    moment, CASE WHEN good THEN
        CASE WHEN p_fake < 0.35 THEN 'REAL' WHEN p_fake < 0.65 THEN 'UNCERTAIN' ELSE 'FAKE' END END,
    CASE WHEN good THEN p_fake END, CASE WHEN good THEN modality || '_model' END, CASE WHEN good THEN 1 END,
    CASE WHEN good THEN jsonb_build_object('modality', modality, 'p_fake', p_fake, 'padding', repeat('x', 100)) END,
    CASE WHEN NOT good THEN 'unreadable_media' END, CASE WHEN NOT good THEN 'It is damaged.' END,
    CASE WHEN good AND luck < 0.05 THEN 'fake' END, CASE WHEN good AND luck < 0.05 THEN moment END
FROM made ORDER BY n
"""
_COUNTS: Final[LiteralString] = """
INSERT INTO detection_days (account_id, day, modality, key_id, succeeded, failed, fake, verdict_real, verdict_fake,
    verdict_uncertain, rated, agreed, charged, bytes)
SELECT account_id, charged_on, modality, coalesce(key_id, '00000000-0000-0000-0000-000000000000') AS key,
    count(*) FILTER (WHERE status = 'succeeded'), count(*) FILTER (WHERE status = 'failed'),
    count(*) FILTER (WHERE p_fake >= 0.5), count(*) FILTER (WHERE verdict = 'REAL'),
    count(*) FILTER (WHERE verdict = 'FAKE'), count(*) FILTER (WHERE verdict = 'UNCERTAIN'),
    count(feedback), count(*) FILTER (WHERE feedback = 'fake' AND p_fake >= 0.5),
    count(*) FILTER (WHERE status = 'succeeded'), coalesce(sum(size_bytes) FILTER (WHERE status = 'succeeded'), 0)
FROM detections GROUP BY account_id, charged_on, modality, key
-- As they would have come: day by day, the accounts in no order.
ORDER BY charged_on, md5(account_id::text || modality)
"""
_INDEXES: Final[LiteralString] = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename = 'detections' AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""


def fill(cluster: Cluster, database: str, rows: int, say: Callable[[str], None]) -> None:
    """Make a database of the cluster with `rows` detections in it, vacuumed and with all its indexes."""
    with psycopg.connect(cluster.conninfo("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    url = cluster.url(database)
    migrate(url)
    with psycopg.connect(connection_string(url), autocommit=True) as connection:
        connection.execute(
            "SET synchronous_commit = off; SET work_mem = '256MB'; SET maintenance_work_mem = '512MB'; "
            # Nothing of what is inserted refers to something that is not there.
            "SET session_replication_role = replica; SET timezone = 'UTC'"
        )
        _make_accounts(connection)
        indexes = connection.execute(_INDEXES).fetchall()
        for name, _ in indexes:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        for first in range(1, rows + 1, _AT_ONCE):
            last = min(first + _AT_ONCE - 1, rows)
            parameters = {"first": first, "last": last, "rows": rows, "days": DAYS, "accounts": ACCOUNTS}
            connection.execute(_DETECTIONS, parameters)
            say(f"{database}: {last:,} detections")
        connection.execute(_COUNTS)
        for _, definition in indexes:
            connection.execute(sql.SQL(definition))
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
        say(f"{database}: {_size(connection)}")


def _make_accounts(connection: psycopg.Connection[Any]) -> None:
    connection.execute(_ACCOUNTS, {"accounts": ACCOUNTS})
    for statement in (_KEYS, _METERS, _OWNERS):
        connection.execute(statement)


def _size(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute(
        """
        SELECT pg_size_pretty(pg_table_size('detections')), pg_size_pretty(pg_indexes_size('detections')),
            pg_size_pretty(pg_total_relation_size('detection_days'))
        """
    ).fetchone()
    return "{} of detections, {} of their indexes, {} of counts by day".format(*row) if row else ""
