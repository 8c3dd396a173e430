"""When each key was last used, written in batches off the path of requests."""

from datetime import UTC, datetime
from uuid import UUID

from gateway.db.engine import Pool

_FLUSH = """
    UPDATE api_keys SET last_used_at = used.at
    FROM unnest(%(ids)s::uuid[], %(times)s::timestamptz[]) AS used (id, at)
    WHERE api_keys.id = used.id AND (api_keys.last_used_at IS NULL OR api_keys.last_used_at < used.at)
"""


class LastUse:
    """Remembers uses until they are flushed; holds one entry per key, however often it is used."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._used: dict[UUID, datetime] = {}

    def note(self, key_id: UUID) -> None:
        """Remember that a key was used just now."""
        self._used[key_id] = datetime.now(UTC)

    async def flush(self) -> None:
        """Write what is remembered, in the order of ids so that two processes never wait for each other in a ring.

        What a failing database did not take is forgotten: the next use of the key writes a later time anyway.
        """
        used, self._used = sorted(self._used.items()), {}
        if used:
            async with self._pool.connection() as database:
                await database.execute(_FLUSH, {"ids": [key for key, _ in used], "times": [at for _, at in used]})
