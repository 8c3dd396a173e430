"""Removes what has expired and is of no use any more, a limited number of rows at a time."""

from typing import Final

from gateway.db.engine import Pool

_STATEMENTS: Final = tuple(
    f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE {condition} LIMIT 5000 FOR UPDATE SKIP LOCKED)"  # noqa: S608 - Constants.
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
    )
)


class Expiry:
    """Rows that have had their time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def sweep(self) -> int:
        """Remove expired rows and return how many; what is too many for now goes the next time."""
        removed = 0
        async with self._pool.connection() as database:
            for statement in _STATEMENTS:
                removed += (await database.execute(statement.encode())).rowcount
        return removed
