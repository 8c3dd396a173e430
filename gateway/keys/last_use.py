"""When each key and each session was last used, written in batches off the path of requests."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, LiteralString
from uuid import UUID

from gateway.db.engine import Pool

# Who else holds a row is writing about the same time into it, or is ending it; nobody waits for the other.
_FLUSH_KEYS: Final[LiteralString] = """
    UPDATE api_keys SET last_used_at = used.at FROM (
        SELECT k.id, u.at FROM unnest(%(ids)s::uuid[], %(times)s::timestamptz[]) AS u (id, at)
        JOIN api_keys k ON k.id = u.id AND (k.last_used_at IS NULL OR k.last_used_at < u.at)
        FOR NO KEY UPDATE OF k SKIP LOCKED
    ) used WHERE api_keys.id = used.id
"""
_FLUSH_SESSIONS: Final[LiteralString] = """
    UPDATE sessions SET last_used_at = used.at FROM (
        SELECT s.id, u.at FROM unnest(%(ids)s::uuid[], %(times)s::timestamptz[]) AS u (id, at)
        JOIN sessions s ON s.id = u.id AND s.last_used_at < u.at
        FOR NO KEY UPDATE OF s SKIP LOCKED
    ) used WHERE sessions.id = used.id
"""


class LastUse:
    """Remembers uses until they are flushed; holds one entry per key and session, however often it is used."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._keys: dict[UUID, datetime] = {}
        self._sessions: dict[UUID, datetime] = {}

    def note(self, *, key_id: UUID | None = None, session_id: UUID | None = None) -> None:
        """Remember that a key, or a session, was used just now."""
        if key_id is not None:
            self._keys[key_id] = datetime.now(UTC)
        if session_id is not None:
            self._sessions[session_id] = datetime.now(UTC)

    async def flush(self) -> None:
        """Write what is remembered.

        What a failing database did not take is forgotten: the next use writes a later time anyway.
        """
        keys, self._keys = self._keys, {}
        sessions, self._sessions = self._sessions, {}
        await self._write(_FLUSH_KEYS, keys)
        await self._write(_FLUSH_SESSIONS, sessions)

    async def _write(self, statement: LiteralString, used: Mapping[UUID, datetime]) -> None:
        if used:
            async with self._pool.connection() as database:
                await database.execute(statement, {"ids": list(used), "times": list(used.values())})
