"""`/v1/admin/audit`: the audit log."""

from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from gateway.access.guard import require_admin
from gateway.audit.reading import AuditFilter, AuditLog
from gateway.audit.schemas import AuditPage
from gateway.errors import RequestError
from gateway.reference.operations import KEYED
from gateway.reference.problems import problems

_PRINTABLE: Final = r"^[^\x00-\x1f\x7f]*$"
_PROBLEMS: Final = problems(
    {
        400: "A parameter is at fault.",
        401: "No valid access token or key.",
        403: "The caller is no super_admin, is suspended, or its key lacks the scope `admin`.",
    }
)


@get("/", summary="List audit events", responses=_PROBLEMS)
async def list_audit_events(
    audit_log: NamedDependency[AuditLog],
    *,
    actor: Annotated[UUID | None, QueryParameter(description="By the account of this id.")] = None,
    target: Annotated[
        str | None, QueryParameter(max_length=200, pattern=_PRINTABLE, description="On what has this id.")
    ] = None,
    action: Annotated[
        str | None,
        QueryParameter(
            max_length=100,
            pattern=_PRINTABLE,
            description="This action, or all of a noun: `account.suspend`, `account`.",
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        QueryParameter(name="from", description="At this moment or later; UTC where no offset is given."),
    ] = None,
    until: Annotated[datetime | None, QueryParameter(name="to", description="Before this moment.")] = None,
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Most entries on the page.")] = 20,
) -> AuditPage:
    """List who did what, newest first."""
    wanted = AuditFilter(
        actor_id=actor, target_id=target, action=action, since=_with_offset(since), until=_with_offset(until)
    )
    if wanted.since is not None and wanted.until is not None and wanted.since >= wanted.until:
        raise RequestError("`from` must lie before `to`.", code="invalid_range")
    return await audit_log.page(wanted, cursor=cursor, limit=limit)


def _with_offset(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


audit_routes = Router(
    "/v1/admin/audit", route_handlers=[list_audit_events], guards=[require_admin], security=KEYED, tags=["Admin"]
)
