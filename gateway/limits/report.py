"""The allowance of a caller as `/v1/usage` tells it."""

from datetime import datetime

from gateway.limits.allowance import Allowance, Burst
from gateway.limits.schemas import BurstUsage, ByteUsage, ConcurrencyUsage, DailyUsage, KeyUsage, UsageReport
from gateway.limits.usage import SoFar


def report(allowance: Allowance, so_far: SoFar) -> UsageReport:
    """What the account and the calling key have used and what is left."""
    resets_at = allowance.resets_at
    return UsageReport(
        day=DailyUsage(
            limit=allowance.daily_limit,
            used=allowance.used_today,
            remaining=allowance.daily_remaining,
            resets_at=resets_at,
        ),
        bytes=ByteUsage(
            limit=allowance.daily_bytes,
            used=allowance.bytes_today,
            remaining=allowance.bytes_remaining,
            resets_at=resets_at,
        ),
        burst=_burst(allowance.burst),
        concurrency=_concurrency(allowance.concurrent_limit, so_far.running),
        key=_key(allowance, resets_at),
        total=so_far.total,
        last_day=so_far.last_day,
    )


def _key(allowance: Allowance, resets_at: datetime) -> KeyUsage | None:
    if allowance.key_daily_limit is allowance.key_daily_bytes is allowance.key_burst_limit is None:
        return None
    day = size = None
    if allowance.key_daily_limit is not None:
        day = DailyUsage(
            limit=allowance.key_daily_limit,
            used=allowance.key_used_today,
            remaining=allowance.key_daily_remaining,
            resets_at=resets_at,
        )
    if allowance.key_daily_bytes is not None:
        size = ByteUsage(
            limit=allowance.key_daily_bytes,
            used=allowance.key_bytes_today,
            remaining=allowance.key_bytes_remaining,
            resets_at=resets_at,
        )
    return KeyUsage(day=day, bytes=size, burst=_burst(allowance.key_burst))


def _burst(burst: Burst | None) -> BurstUsage | None:
    if burst is None:
        return None
    return BurstUsage(limit=burst.limit, period_s=burst.period_s, remaining=burst.remaining)


def _concurrency(limit: int | None, running: int) -> ConcurrencyUsage:
    remaining = None if limit is None else max(0, limit - running)
    return ConcurrencyUsage(limit=limit, running=running, remaining=remaining)
