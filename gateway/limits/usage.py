"""How much an account has used, ever and when last, and what runs for it now."""

from dataclasses import dataclass
from datetime import date
from typing import Final, LiteralString
from uuid import UUID

from gateway.db.engine import Pool

_SO_FAR: Final[LiteralString] = """
    SELECT coalesce(m.total, 0), CASE WHEN m.charged > 0 THEN m.day ELSE (
        SELECT max(d.day) FROM detection_days d WHERE d.account_id = a.id AND d.charged > 0
    ) END, (SELECT count(*) FROM detections r WHERE r.account_id = a.id AND r.status = 'running')
    FROM (SELECT %(account_id)s::uuid AS id) a LEFT JOIN meters m ON m.subject_id = a.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoFar:
    """Detections ever charged, the last UTC day with one, and how many run now."""

    total: int
    last_day: date | None
    running: int


class Usage:
    """Reads what accounts have used."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def so_far(self, account_id: UUID) -> SoFar:
        """What an account has used until now."""
        async with self._pool.connection() as database:
            row = await (await database.execute(_SO_FAR, {"account_id": account_id})).fetchone()
        total, last_day, running = row or (0, None, 0)
        return SoFar(total=total, last_day=last_day, running=running)
