"""Everything that is kept about an account, as JSON lines: one `{"kind": …, "data": …}` a line, and an end line.

It is read a page at a time, each with a short query of its own: however slowly a client takes it, no connection waits
for it, and memory holds one page. A table that belongs to accounts has its kind here; a test holds that none is missed.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec

from gateway.audit.service import Act, Actor, record
from gateway.db.engine import Database, Pool

_PAGE: Final = 100
_NIL: Final = str(UUID(int=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of line, and the query of a page of them: a key to go on from, and the data as JSON."""

    name: str
    page: LiteralString
    first_after: str = _NIL


def _of_table(name: str, table: LiteralString, columns: LiteralString) -> Kind:
    """The rows of a table with an `id`, in the order in which they were made."""
    page: LiteralString = f"""
        SELECT t.id::text, row_to_json(t)::text FROM (
            SELECT {columns} FROM {table}
            WHERE account_id = %(account_id)s AND id > %(after)s::uuid ORDER BY id LIMIT %(limit)s
        ) t
    """  # noqa: S608 - Constants.
    return Kind(name=name, page=page)


def _of_keys(name: str, table: LiteralString, key: LiteralString, columns: LiteralString) -> Kind:
    """The rows of a table without an `id`, of which an account has few, by a text that is unique among them."""
    page: LiteralString = f"""
        SELECT t.place, (to_jsonb(t) - 'place')::text FROM (
            SELECT {key} AS place, {columns} FROM {table}
            WHERE account_id = %(account_id)s AND {key} > %(after)s ORDER BY place LIMIT %(limit)s
        ) t
    """  # noqa: S608 - Constants.
    return Kind(name=name, page=page, first_after="")


_ACCOUNT: Final[LiteralString] = """
    SELECT t.id::text, row_to_json(t)::text FROM (
        SELECT id, number, email, email_verified_at, username, password_hash IS NOT NULL AS has_password, status,
            status_reason, role, plan, daily_limit, daily_bytes, burst_limit, burst_period_s, concurrent_limit,
            storage_bytes, keeps_media, retention_days,
            created_at, (SELECT m.total FROM meters m WHERE m.subject_id = accounts.id) AS detections_charged
        FROM accounts WHERE id = %(account_id)s AND id > %(after)s::uuid LIMIT %(limit)s
    ) t
"""
# What somebody else did to the account is told, but not from where, nor who.
_AUDIT: Final[LiteralString] = """
    SELECT t.id::text, row_to_json(t)::text FROM (
        SELECT id, at, actor_kind, CASE WHEN by_itself THEN key_id END AS key_id,
            CASE WHEN by_itself THEN address END AS address, CASE WHEN by_itself THEN request_id END AS request_id,
            action, target_kind, target_id, before, after
        FROM (
            (SELECT *, true AS by_itself FROM audit_events
            WHERE actor_id = %(account_id)s AND id > %(after)s::uuid ORDER BY id LIMIT %(limit)s)
            UNION ALL
            (SELECT *, actor_id IS NULL FROM audit_events
            WHERE target_id = %(account_id)s::text AND actor_id IS DISTINCT FROM %(account_id)s::uuid
                AND id > %(after)s::uuid ORDER BY id LIMIT %(limit)s)
        ) e ORDER BY id LIMIT %(limit)s
    ) t
"""

KINDS: Final = (
    Kind(name="account", page=_ACCOUNT),
    _of_keys(
        "identity",
        "identities",
        "issuer || ' ' || subject",
        "issuer, subject, email, email_verified, created_at, last_used_at",
    ),
    _of_table("passkey", "passkeys", "id, name, transports, sign_count, created_at, last_used_at"),
    _of_table("session", "sessions", "id, method, client, address, created_at, last_used_at, expires_at, closed_at"),
    _of_keys(
        "one_time_token", "one_time_tokens", "encode(digest, 'hex')", "purpose, email, created_at, expires_at, used_at"
    ),
    _of_table(
        "key",
        "api_keys",
        """id, prefix, last4, name, scopes, allowed_addresses, allowed_models, daily_limit, daily_bytes, burst_limit,
        burst_period_s, is_primary, rotated_from, created_at, expires_at, last_used_at, revoked_at""",
    ),
    _of_keys(
        "usage_day",
        "detection_days",
        "day || ' ' || modality || ' ' || key_id",
        """day, modality, key_id, succeeded, failed, fake, verdict_real, verdict_fake, verdict_uncertain, rated,
        agreed, charged, bytes""",
    ),
    _of_keys("idempotency_key", "idempotency_keys", "key", "key, detection_id, created_at, expires_at"),
    _of_table(
        "job",
        "jobs",
        """id, key_id, batch_id, place, detection_id, medium_id, source_url, model, class, status, attempts, failures,
        losses, dead, request_id, progress, error_code, error_message, created_at, run_at, started_at, ended_at""",
    ),
    _of_table(
        "batch",
        "batches",
        """id, key_id, status, name, total, archive_id, options, request_id, next_place, failures, error_code,
        error_message, created_at, ended_at""",
    ),
    _of_table(
        "detection",
        "detections",
        """id, number, key_id, status, modality, filename, media_type, size_bytes,
        encode(media_digest, 'hex') AS sha256, request_id, channel, client_reference, tags, cached_from, charged,
        charged_on, refunded, created_at, settled_at, deleted_at, verdict, p_fake, model, version, answer,
        translate(encode(thumbnail, 'base64'), E'\\n', '') AS thumbnail_base64, error_code, error_message, feedback,
        feedback_note, feedback_at, job_id, medium_id""",
    ),
    _of_table(
        "medium",
        "media",
        """id, key_id, state, filename, media_type, modality, size_bytes, encode(digest, 'hex') AS sha256, kept,
        created_at, completed_at, expires_at""",
    ),
    _of_keys(
        "storage_meter",
        "storage_meters",
        "account_id::text",
        "kept_bytes, kept_count, passing_bytes, passing_count",
    ),
    _of_keys(
        "deletion_proof",
        "deletion_proofs",
        "medium_id::text",
        "medium_id, encode(digest, 'hex') AS sha256, size_bytes, reason, stored_at, deleted_at",
    ),
    _of_table(
        "webhook_endpoint",
        "webhook_endpoints",
        """id, url, description, events, enabled, disabled_reason, failing_since, failures, rests_until,
        former_expires_at, created_at""",
    ),
    _of_table("webhook_message", "webhook_messages", "id, event, subject_id, body, created_at"),
    Kind(name="audit_event", page=_AUDIT),
)
"""In the order in which they are written."""


class AccountExport:
    """Exports accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, account_id: UUID, *, actor: Actor) -> AsyncGenerator[bytes]:
        """The lines of an account, not yet read; that it was exported is recorded."""
        async with self._database.engine.begin() as connection:
            await record(connection, Act(actor, "account.export", "account", str(account_id)))
        return write_lines(self._database.pool, account_id)


async def write_lines(pool: Pool, account_id: UUID) -> AsyncGenerator[bytes]:
    """The lines of an account, a page of them at a time; the last one counts them, so that it is known to be whole."""
    count = 0
    for kind in KINDS:
        after = kind.first_after
        while True:
            rows = await _page(pool, kind, account_id, after)
            count += len(rows)
            if rows:
                after = rows[-1][0]
                yield b"".join(_line(kind.name, data) for _, data in rows)
            if len(rows) < _PAGE:
                break
    yield _line("end", msgspec.json.encode({"lines": count}).decode())


async def _page(pool: Pool, kind: Kind, account_id: UUID, after: str) -> list[tuple[Any, ...]]:
    parameters = {"account_id": account_id, "after": after, "limit": _PAGE}
    async with pool.connection() as database:
        return await (await database.execute(kind.page, parameters)).fetchall()


def _line(kind: str, data: str) -> bytes:
    return f'{{"kind":"{kind}","data":{data}}}\n'.encode()
