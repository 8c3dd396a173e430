from typing import Any

import psycopg
import pytest

from gateway.db.engine import open_database
from gateway.settings import GatewaySettings
from gateway.upkeep import Expiry

pytestmark = pytest.mark.integration

# Of each kind one row that has had its time and one that has not; what tells them apart is their text.
ROWS = """
    INSERT INTO accounts (email) VALUES ('a@example.org');
    INSERT INTO idempotency_keys (account_id, key, fingerprint, expires_at)
    SELECT id, word, sha256('x'), now() + span
    FROM accounts, (VALUES ('old', interval '-1 s'), ('new', '1 h')) v (word, span);
    INSERT INTO passkey_challenges (challenge, purpose, expires_at)
    SELECT 'x', word, now() + span FROM (VALUES ('old', interval '-1 s'), ('new', '1 h')) v (word, span);
    INSERT INTO oidc_flows (state_digest, provider, nonce, code_verifier, expires_at)
    SELECT sha256(word::bytea), word, 'x', 'x', now() + span
    FROM (VALUES ('old', interval '-1 s'), ('new', '1 h')) v (word, span);
    INSERT INTO one_time_tokens (digest, account_id, purpose, email, expires_at)
    SELECT sha256(word::bytea), id, 'verify_email', word, now() + span
    FROM accounts, (VALUES ('old', interval '-8 days'), ('new', '-6 days')) v (word, span);
    INSERT INTO sign_in_failures (subject, failures, last_failed_at)
    SELECT word, 3, now() + span FROM (VALUES ('old', interval '-8 days'), ('new', '-6 days')) v (word, span);
    INSERT INTO sessions (account_id, method, expires_at)
    SELECT id, word, now() + span
    FROM accounts, (VALUES ('old', interval '-31 days'), ('new', '-29 days')) v (word, span);
    INSERT INTO webhook_messages (account_id, event, subject_id, body, created_at)
    SELECT id, word, uuidv4(), '{}', now() + span
    FROM accounts, (VALUES ('old', interval '-31 days'), ('new', '-29 days')) v (word, span);
    INSERT INTO refresh_tokens (digest, session_id, expires_at)
    SELECT sha256(word::bytea), s.id, now() + span
    FROM sessions s, (VALUES ('old', interval '-31 days'), ('new', '-29 days')) v (word, span) WHERE s.method = 'new';
"""
LEFT = {
    "SELECT key FROM idempotency_keys",
    "SELECT purpose FROM passkey_challenges",
    "SELECT provider FROM oidc_flows",
    "SELECT email FROM one_time_tokens",
    "SELECT subject FROM sign_in_failures",
    "SELECT method FROM sessions",
    "SELECT event FROM webhook_messages",
    "SELECT CASE WHEN digest = sha256('new') THEN 'new' ELSE 'old' END FROM refresh_tokens",
}


async def test_what_has_expired_goes_and_the_rest_stays(
    gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    await database.execute(ROWS)
    async with open_database(gateway_settings) as opened:
        assert await Expiry(opened.pool).sweep() == len(LEFT)
        assert await Expiry(opened.pool).sweep() == 0
    for query in LEFT:
        assert await (await database.execute(query.encode())).fetchall() == [("new",)], query


async def test_a_sweep_goes_on_until_nothing_is_left(
    gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    await database.execute(
        "INSERT INTO passkey_challenges (challenge, purpose, expires_at) "
        "SELECT 'x', 'login', now() - interval '1 s' FROM generate_series(1, 25)"
    )
    async with open_database(gateway_settings) as opened:
        assert await Expiry(opened.pool, batch=10, longest_s=0).sweep() == 10
        assert await Expiry(opened.pool, batch=5).sweep() == 15


async def test_what_expires_is_found_by_an_index(database: psycopg.AsyncConnection[Any]) -> None:
    found = await (
        await database.execute("SELECT tablename FROM pg_indexes WHERE indexdef LIKE '%(expires_at)'")
    ).fetchall()
    tables = {"idempotency_keys", "oidc_flows", "passkey_challenges", "refresh_tokens", "sessions", "sign_in_tickets"}
    assert {name for (name,) in found} == tables
