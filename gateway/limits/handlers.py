"""`/v1/usage`: what the caller has used and what is left, now and day by day."""

from datetime import UTC, date
from typing import Annotated, Any, Final

from litestar import Request, Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from gateway.access.guard import Caller, require
from gateway.access.scopes import USAGE_READ
from gateway.limits.days import UsageByDay, read_range
from gateway.limits.report import report
from gateway.limits.schemas import Grouping, UsageDays, UsageReport
from gateway.limits.usage import Usage
from gateway.reference.operations import KEYED
from gateway.reference.problems import problems

Call = Request[Caller, Any, Any]

_PROBLEMS: Final = problems(
    {
        400: "A parameter is at fault.",
        401: "No valid API key or access token.",
        403: "The key lacks the scope, or the account is suspended.",
    }
)


@get("/", summary="Read usage", responses={status: _PROBLEMS[status] for status in (401, 403)})
async def read_usage(request: Call, usage: NamedDependency[Usage]) -> UsageReport:
    """Read what the account, and the calling key, have used today and ever, and what is left of each limit."""
    return report(request.user.allowance, await usage.so_far(request.user.account_id))


@get("/days", summary="Read usage by day", responses=_PROBLEMS)
async def read_usage_by_day(
    *,
    request: Call,
    usage_by_day: NamedDependency[UsageByDay],
    first: Annotated[date | None, QueryParameter(name="from", description="First UTC day; 30 days in all.")] = None,
    last: Annotated[date | None, QueryParameter(name="to", description="Last UTC day; today.")] = None,
    group_by: Annotated[Grouping, QueryParameter(description="What to tell apart on each day.")] = Grouping.DAY,
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Most days on the page.")] = 31,
) -> UsageDays:
    """Read what the account used on each UTC day of at most 366, newest first."""
    today = request.user.allowance.now.astimezone(UTC).date()
    start, end = read_range(first, last, today=today)
    return await usage_by_day.page(
        request.user.account_id, first=start, last=end, group_by=group_by, cursor=cursor, days=limit
    )


usage_routes = Router(
    "/v1/usage",
    route_handlers=[read_usage, read_usage_by_day],
    guards=[require(USAGE_READ)],
    security=KEYED,
    tags=["Usage"],
)
