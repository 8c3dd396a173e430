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

ALLOWANCE_COLUMNS: Final = """
    a.daily_limit, coalesce(d.charged, 0), a.burst_limit, a.burst_period_s, b.arrival_at, now()
"""
"""Columns for `read_allowance`, of `accounts a`, today's `usage_days d` and `bursts b`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """An account's limits and their state at `now`. A limit of None does not exist."""

    daily_limit: int | None
    used_today: int
    burst_limit: int | None
    burst_period_s: int
    arrival_at: datetime | None
    now: datetime

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
    def burst_remaining(self) -> int | None:
        """Detections possible this instant; None without a burst limit."""
        if self.burst_limit is None:
            return None
        room = self.burst_period_s - self._burst_debt_s
        return max(0, min(self.burst_limit, math.floor(room * self.burst_limit / self.burst_period_s + 1e-6)))

    @property
    def seconds_to_burst_slot(self) -> int:
        """Whole seconds until one more detection is possible under the burst limit, at least 1."""
        if self.burst_limit is None:
            return 1
        emission_s = self.burst_period_s / self.burst_limit
        return max(1, math.ceil(self._burst_debt_s + emission_s - self.burst_period_s))

    @property
    def seconds_to_full_burst(self) -> int:
        """Whole seconds until the whole burst limit is there again."""
        return math.ceil(self._burst_debt_s)

    @property
    def _burst_debt_s(self) -> float:
        if self.arrival_at is None:
            return 0.0
        return max(0.0, (self.arrival_at - self.now).total_seconds())


def read_allowance(row: Sequence[Any]) -> Allowance:
    """The allowance from a row of `ALLOWANCE_COLUMNS`."""
    daily_limit, used_today, burst_limit, burst_period_s, arrival_at, now = row
    return Allowance(
        daily_limit=daily_limit,
        used_today=used_today,
        burst_limit=burst_limit,
        burst_period_s=burst_period_s,
        arrival_at=arrival_at,
        now=now,
    )
