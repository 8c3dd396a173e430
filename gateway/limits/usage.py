"""How much an account has used, ever and when last."""

from datetime import date
from typing import Final
from uuid import UUID

from gateway.db.engine import Pool

_TOTAL: Final = """
    SELECT m.total, CASE WHEN m.charged > 0 THEN m.day ELSE (
        SELECT max(d.day) FROM detection_days d WHERE d.account_id = m.subject_id AND d.charged > 0
    ) END
    FROM meters m WHERE m.subject_id = %(account_id)s
"""


class Usage:
    """Reads what accounts have used."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def total(self, account_id: UUID) -> tuple[int, date | None]:
        """Detections ever charged, and the last UTC day with one."""
        async with self._pool.connection() as database:
            row = await (await database.execute(_TOTAL, {"account_id": account_id})).fetchone()
        return (row[0], row[1]) if row else (0, None)
