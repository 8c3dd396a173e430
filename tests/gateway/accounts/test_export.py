"""The export of an account: all of it, nothing of others, no secret, and in flat memory."""

import json
import tracemalloc
from collections import Counter
from typing import Any
from uuid import UUID

import psycopg
import pytest

from gateway.accounts.export import KINDS, write_lines
from gateway.admin.schemas import Suspension
from gateway.db.engine import open_database
from gateway.db.tables import METADATA
from gateway.settings import GatewaySettings
from tests.fixtures.accounts import bearer, log_in, mailed_token, register
from tests.fixtures.gateway import EMAIL, Client

pytestmark = pytest.mark.integration

Connection = psycopg.AsyncConnection[Any]
NOT_OF_USE = {
    "passkey_challenges",
    "oidc_flows",  # Both last for minutes and hold only what is asked of a browser.
}
NOT_SHOWN = {
    "account_id",
    "digest",
    "password_hash",
    "attempt",
    "deadline_at",
    "meter_id",
    "credential_id",
    "public_key",
    "fingerprint",
    "response",
    "secret",
    "former_secret",
    "ticket",
    "path",
    "object_path",
    "part_bytes",
    "reason",
    "lease_until",
    "place_in_queue",
    "worker",
    "status",
}
"""Secrets and their digests, and what only steers the platform; an idempotency key's own answer is the detection."""


async def export(client: Client, tokens: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.http.get("/v1/account/export", headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert "attachment" in answer.headers["content-disposition"]
    return [json.loads(line) for line in answer.text.splitlines()]


def test_every_table_of_an_account_is_exported_with_every_column() -> None:
    pages = " ".join(kind.page for kind in KINDS)
    for table in METADATA.tables.values():
        if "account_id" in table.columns and table.name not in NOT_OF_USE:
            assert f"FROM {table.name}" in pages, table.name
            page = next(kind.page for kind in KINDS if f"FROM {table.name}" in kind.page)
            missing = {column.name for column in table.columns if column.name not in page} - NOT_SHOWN
            assert missing == set(), table.name


async def test_it_tells_all_of_the_account_and_nothing_of_others(anonymous: Client, database: Connection) -> None:
    await register(anonymous.http, "other@example.org", username="other")
    await log_in(anonymous.http, "other@example.org")
    key = await anonymous.sign_up()
    detection = (await anonymous.detect(client_reference="mine", tags="a")).json()
    await database.execute("UPDATE detections SET thumbnail = %s", (bytes(range(256)),))
    tokens = await log_in(anonymous.http)
    lines = await export(anonymous, tokens)
    kinds = Counter(line["kind"] for line in lines)
    assert kinds["account"] == kinds["key"] == kinds["detection"] == kinds["usage_day"] == kinds["one_time_token"] == 1
    assert kinds["session"] == 2
    assert kinds["audit_event"] == 3
    assert lines[-1] == {"kind": "end", "data": {"lines": len(lines) - 1}}
    data = {line["kind"]: line["data"] for line in lines}
    assert data["account"]["email"] == EMAIL
    assert data["detection"]["id"] == detection["id"]
    assert data["detection"]["answer"]["p_fake"] == detection["p_fake"]
    assert data["detection"]["sha256"] == detection["sha256"]
    assert data["detection"]["thumbnail_base64"].startswith("AAECAwQFBgcICQ")
    assert data["key"]["prefix"] == key[:16]
    text = json.dumps(lines)
    secrets = [key, tokens["refresh_token"], tokens["access_token"], await mailed_token(database), "$argon2"]
    for secret in [*secrets, "other@example.org"]:
        assert secret not in text


async def test_the_reason_of_a_suspension_is_told_as_admins_are_warned(anonymous: Client, database: Connection) -> None:
    made = await register(anonymous.http)
    promoted = "UPDATE accounts SET role = 'super_admin' WHERE email = 'admin@example.org'"
    await register(anonymous.http, "admin@example.org")
    await database.execute(promoted)
    admin = bearer(await log_in(anonymous.http, "admin@example.org"))
    path = f"/v1/admin/users/{made['id']}"
    body = {"reason": "Resells access."}
    assert (await anonymous.http.post(f"{path}/suspend", json=body, headers=admin)).status_code == 200
    assert (await anonymous.http.post(f"{path}/activate", headers=admin)).status_code == 200
    lines = await export(anonymous, await log_in(anonymous.http))
    assert "Resells access." in json.dumps(lines)
    assert "its owner, in the export" in str(Suspension.__doc__)


async def test_what_others_did_to_the_account_is_told_but_not_by_whom(anonymous: Client, database: Connection) -> None:
    made = await register(anonymous.http)
    await database.execute(
        """
        INSERT INTO audit_events (actor_id, actor_kind, address, request_id, action, target_kind, target_id)
        VALUES (uuidv7(), 'user', '203.0.113.99', 'request-of-an-admin', 'account.limits', 'account', %s)
        """,
        (made["id"],),
    )
    lines = await export(anonymous, await log_in(anonymous.http))
    event = next(line["data"] for line in lines if line["data"].get("action") == "account.limits")
    assert event["address"] is None
    assert "203.0.113.99" not in json.dumps(lines)
    assert "request-of-an-admin" not in json.dumps(lines)


async def test_an_export_is_recorded(anonymous: Client, database: Connection) -> None:
    await register(anonymous.http)
    await export(anonymous, await log_in(anonymous.http))
    query = "SELECT count(*) FROM audit_events WHERE action = 'account.export' AND actor_id = target_id::uuid"
    assert await (await database.execute(query)).fetchone() == (1,)


async def test_a_long_history_is_exported_whole_in_flat_memory(
    anonymous: Client, gateway_settings: GatewaySettings, database: Connection
) -> None:
    made = await register(anonymous.http)
    await database.execute(
        """
        INSERT INTO detections (account_id, status, attempt, modality, filename, media_type, size_bytes, request_id,
            charged_on, deadline_at, answer)
        SELECT id, 'succeeded', uuidv4(), 'image', 'file ' || n, 'image/jpeg', 1, 'r', now()::date, now(),
            jsonb_build_object('filling', repeat(md5(n::text), 600))
        FROM accounts, generate_series(1, 2500) n
        """
    )
    names: set[str] = set()
    size = 0
    async with open_database(gateway_settings) as opened:
        tracemalloc.start()
        async for lines in write_lines(opened.pool, UUID(made["id"])):
            size += len(lines)
            for line in lines.splitlines():
                if line.startswith(b'{"kind":"detection"'):
                    names.add(json.loads(line)["data"]["filename"])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert len(names) == 2500
    assert size > 45_000_000
    assert peak < 16_000_000
