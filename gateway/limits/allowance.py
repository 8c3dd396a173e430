"""What an account may use and what is left of it: quota arithmetic without I/O.

The burst limit is the generic cell rate algorithm: `arrival_at`, the theoretical arrival time, moves on by one
emission interval (period / limit) per request, and may lie at most one period ahead of now.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

DAY_S: Final = 86_400

_TODAY: Final = "(platform_now() AT TIME ZONE 'utc')::date"
ALLOWANCE_COLUMNS: Final = f"""
    c.daily_limit, CASE WHEN m.day >= {_TODAY} THEN m.charged ELSE 0 END, c.burst_limit, c.burst_period_s,
    m.arrival_at, platform_now(), c.daily_bytes, CASE WHEN m.day >= {_TODAY} THEN m.bytes ELSE 0 END,
    c.concurrent_limit, NULL, c.key_daily_limit, CASE WHEN k.day >= {_TODAY} THEN k.charged ELSE 0 END,
    c.key_burst_limit, c.key_burst_period_s, k.arrival_at, c.key_daily_bytes,
    CASE WHEN k.day >= {_TODAY} THEN k.bytes ELSE 0 END
"""
"""Columns for `read_allowance`, of `find_caller c`, and of the `meters` of its account, `m`, and of its key, `k`.

The function `admit` answers the same columns in the same order.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The limits of an account, and of the key that was used, with their state at `now`. None: there is no such limit.

    `running` is known only where an account has a limit on what runs at the same time, and only on admission.
    """

    daily_limit: int | None
    used_today: int
    burst_limit: int | None
    burst_period_s: int
    arrival_at: datetime | None
    now: datetime
    daily_bytes: int | None = None
    bytes_today: int = 0
    concurrent_limit: int | None = None
    running: int | None = None
    key_daily_limit: int | None = None
    key_used_today: int = 0
    key_burst_limit: int | None = None
    key_burst_period_s: int = 60
    key_arrival_at: datetime | None = None
    key_daily_bytes: int | None = None
    key_bytes_today: int = 0

    @property
    def bytes_remaining(self) -> int | None:
        """Bytes left until 00:00 UTC; None without a limit on bytes."""
        return None if self.daily_bytes is None else max(0, self.daily_bytes - self.bytes_today)

    @property
    def key_bytes_remaining(self) -> int | None:
        """Bytes left to this key until 00:00 UTC; None without a limit of its own."""
        return None if self.key_daily_bytes is None else max(0, self.key_daily_bytes - self.key_bytes_today)

    @property
    def key_daily_remaining(self) -> int | None:
        """Detections left to this key until 00:00 UTC; None without a limit of its own."""
        return None if self.key_daily_limit is None else max(0, self.key_daily_limit - self.key_used_today)

    @property
    def daily_remaining(self) -> int | None:
        """Detections left until 00:00 UTC; None without a daily limit."""
        return None if self.daily_limit is None else max(0, self.daily_limit - self.used_today)

    @property
    def resets_at(self) -> datetime:
        """The next 00:00 UTC."""
        today = self.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return today + timedelta(days=1)

    @property
    def seconds_to_reset(self) -> int:
        """Whole seconds to 00:00 UTC, at least 1."""
        return max(1, math.ceil((self.resets_at - self.now).total_seconds()))

    @property
    def burst(self) -> "Burst | None":
        """The account's burst limit; None where it has none."""
        if self.burst_limit is None:
            return None
        return Burst(limit=self.burst_limit, period_s=self.burst_period_s, arrival_at=self.arrival_at, now=self.now)

    @property
    def key_burst(self) -> "Burst | None":
        """The key's burst limit; None where it has none."""
        if self.key_burst_limit is None:
            return None
        return Burst(
            limit=self.key_burst_limit,
            period_s=self.key_burst_period_s,
            arrival_at=self.key_arrival_at,
            now=self.now,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """A burst limit by the generic cell rate algorithm: `limit` detections in `period_s` seconds, steadily refilled."""

    limit: int
    period_s: int
    arrival_at: datetime | None
    now: datetime

    @property
    def remaining(self) -> int:
        """Detections possible this instant."""
        return max(0, self.limit + (-self._debt // self._slot))

    @property
    def seconds_to_slot(self) -> int:
        """Whole seconds until one more detection is possible, at least 1."""
        return max(1, math.ceil((self._debt - (self.limit - 1) * self._slot).total_seconds()))

    @property
    def seconds_to_full(self) -> int:
        """Whole seconds until the whole limit is there again."""
        return math.ceil(self._debt.total_seconds())

    @property
    def _slot(self) -> timedelta:
        """The emission interval, in whole microseconds as the database has it."""
        return max(timedelta.resolution, timedelta(seconds=self.period_s / self.limit))

    @property
    def _debt(self) -> timedelta:
        if self.arrival_at is None:
            return timedelta()
        return max(timedelta(), self.arrival_at - self.now)


def read_allowance(row: Sequence[Any]) -> Allowance:
    """The allowance from a row of `ALLOWANCE_COLUMNS`."""
    return Allowance(
        daily_limit=row[0],
        used_today=row[1] or 0,
        burst_limit=row[2],
        burst_period_s=row[3],
        arrival_at=row[4],
        now=row[5],
        daily_bytes=row[6],
        bytes_today=row[7] or 0,
        concurrent_limit=row[8],
        running=row[9],
        key_daily_limit=row[10],
        key_used_today=row[11] or 0,
        key_burst_limit=row[12],
        key_burst_period_s=row[13] or 60,
        key_arrival_at=row[14],
        key_daily_bytes=row[15],
        key_bytes_today=row[16] or 0,
    )
