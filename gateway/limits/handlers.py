"""`GET /v1/usage`: what the caller has used and what is left."""

from datetime import date, datetime
from typing import Any

import msgspec
from litestar import Request, Router, get
from litestar.di import NamedDependency

from gateway.access.guard import Caller, require
from gateway.access.scopes import USAGE_READ
from gateway.limits.usage import Usage
from gateway.reference.operations import KEYED


class DailyUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Use of the current UTC day; `limit` and `remaining` are null for an account without a daily limit."""

    limit: int | None
    used: int
    remaining: int | None
    resets_at: datetime


class BurstUsage(msgspec.Struct, frozen=True, kw_only=True):
    """State of the burst limit: at most `limit` detections within `period_s` seconds."""

    limit: int
    period_s: int
    remaining: int


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an account has used. `burst` is null where there is no burst limit."""

    day: DailyUsage
    burst: BurstUsage | None
    total: int
    last_day: date | None


@get("/", summary="Read usage")
async def read_usage(request: Request[Caller, Any, Any], usage: NamedDependency[Usage]) -> UsageReport:
    """Read what the account has used today and ever, and what is left of its limits."""
    caller = request.user
    allowance = caller.allowance
    total, last_day = await usage.total(caller.account_id)
    burst = None
    if allowance.burst is not None:
        burst = BurstUsage(
            limit=allowance.burst.limit,
            period_s=allowance.burst.period_s,
            remaining=allowance.burst.remaining,
        )
    return UsageReport(
        day=DailyUsage(
            limit=allowance.daily_limit,
            used=allowance.used_today,
            remaining=allowance.daily_remaining,
            resets_at=allowance.resets_at,
        ),
        burst=burst,
        total=total,
        last_day=last_day,
    )


usage_routes = Router(
    "/v1/usage", route_handlers=[read_usage], guards=[require(USAGE_READ)], security=KEYED, tags=["Usage"]
)
