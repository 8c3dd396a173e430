"""Removes what has expired and is of no use any more, a limited number of rows and a limited time at a time."""

import time
from typing import Final

from gateway.db.engine import Pool

_STATEMENTS: Final = tuple(
    f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE {condition} LIMIT %s FOR UPDATE SKIP LOCKED)"  # noqa: S608 - Constants.
    for table, condition in (
        ("idempotency_keys", "expires_at < now()"),
        ("passkey_challenges", "expires_at < now()"),
        ("oidc_flows", "expires_at < now()"),
        ("sign_in_tickets", "expires_at < now()"),
        # The meters of addresses, which charge nobody.
        ("meters", "total = 0 AND charged = 0 AND arrival_at < now() - interval '1 day'"),
        # What follows is kept a while longer, for its use tells something: that a token is used twice, that somebody
        # goes on failing.
        ("one_time_tokens", "expires_at < now() - interval '7 days'"),
        ("sign_in_failures", "last_failed_at < now() - interval '7 days'"),
        ("refresh_tokens", "expires_at < now() - interval '30 days'"),
        ("sessions", "expires_at < now() - interval '30 days'"),
        # With the deliveries of each.
        ("webhook_messages", "created_at < now() - interval '30 days'"),
    )
)


_BATCH: Final = 5000
_LONGEST_S: Final = 30.0


class Expiry:
    """Rows that have had their time; `batch` of them go in one statement, and a sweep begins none after `longest_s`."""

    def __init__(self, pool: Pool, *, batch: int = _BATCH, longest_s: float = _LONGEST_S) -> None:
        self._pool = pool
        self._batch = batch
        self._longest_s = longest_s

    async def sweep(self) -> int:
        """Remove expired rows and return how many; what takes too long for now goes the next time."""
        removed = 0
        until = time.monotonic() + self._longest_s
        unfinished = _STATEMENTS
        async with self._pool.connection() as database:
            # By turns, so that a table with very many leaves time to the others.
            while unfinished:
                full: list[str] = []
                for statement in unfinished:
                    count = (await database.execute(statement.encode(), (self._batch,))).rowcount
                    removed += count
                    if count >= self._batch:
                        full.append(statement)
                unfinished = full if time.monotonic() < until else []
        return removed
