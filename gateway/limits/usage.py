"""How much an account has used, ever and when last."""

from datetime import date
from typing import Final
from uuid import UUID

from gateway.db.engine import Pool

_TOTAL: Final = """
    SELECT coalesce(sum(charged), 0)::bigint, max(day) FILTER (WHERE charged > 0)
    FROM usage_days WHERE account_id = %(account_id)s
"""


class Usage:
    """Reads the days on which accounts were charged."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def total(self, account_id: UUID) -> tuple[int, date | None]:
        """Detections ever charged, and the last UTC day with one."""
        async with self._pool.connection() as database:
            row = await (await database.execute(_TOTAL, {"account_id": account_id})).fetchone()
        return (row[0], row[1]) if row else (0, None)
