"""`/v1/account`: what an account sees, changes and ends of itself."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Body, PathParameter, QueryParameter
from litestar.response import Stream

from gateway.access.guard import Caller, is_fresh, require
from gateway.access.scopes import ACCOUNT
from gateway.accounts.export import AccountExport
from gateway.accounts.profiles import Profiles
from gateway.accounts.recovery import Recovery
from gateway.accounts.schemas import AccountDeletion, AccountUpdate, AccountView, PasswordChange, SessionPage
from gateway.accounts.sessions import Sessions
from gateway.audit.service import actor_of
from gateway.reference.operations import KEYED, OptionalBodyOperation
from gateway.reference.problems import problems

Call = Request[Caller, Any, Any]

_PROBLEMS: Final = problems(
    {
        400: "A parameter or the body is at fault.",
        401: "No valid access token or key.",
        403: "The key lacks the scope `account`, the account is suspended, or the password is wrong or needed.",
        404: "The account has no such session.",
        409: "This cannot be done as things stand; `code` says why.",
        429: "The password was wrong too often; see Retry-After.",
        503: "Too many wait; see Retry-After.",
    }
)


def _refusals(*statuses: int) -> dict[int, ResponseSpec]:
    return {status: _PROBLEMS[status] for status in (401, 403, *statuses)}


@get("/", summary="Read the account", responses=_refusals())
async def read_account(request: Call, profiles: NamedDependency[Profiles]) -> AccountView:
    """Read who one is."""
    return await profiles.read(request.user.account_id)


@patch("/", summary="Change the account", responses=_refusals(400, 409))
async def update_account(
    request: Call, data: Annotated[AccountUpdate, Body()], profiles: NamedDependency[Profiles]
) -> AccountView:
    """Take another username."""
    return await profiles.rename(request.user.account_id, data.username, actor=actor_of(request))


@delete(
    "/",
    summary="Delete the account",
    operation_class=OptionalBodyOperation,
    responses=_refusals(400, 409, 429, 503),
)
async def delete_account(
    request: Call, profiles: NamedDependency[Profiles], data: Annotated[AccountDeletion | None, Body()] = None
) -> None:
    """Delete the account: its keys and sessions are dead at once, its e-mail and username free. Export it first.

    It takes the password, or a session that began, or a token of an outside issuer that was given, in the last ten
    minutes.
    """
    await profiles.delete(
        request.user.account_id,
        password=None if data is None else data.password,
        fresh=await is_fresh(request),
        actor=actor_of(request),
    )


@post("/password", summary="Change the password", status_code=204, responses=_refusals(400, 409, 429, 503))
async def change_password(
    request: Call, data: Annotated[PasswordChange, Body()], recovery: NamedDependency[Recovery]
) -> None:
    """Set a new password by the current one. All other sessions close; keys stay as they are."""
    await recovery.change_password(
        request.user.account_id,
        data.current_password,
        data.new_password,
        session_id=request.user.session_id,
        actor=actor_of(request),
    )


@get("/sessions", summary="List sessions", responses=_refusals(400))
async def list_sessions(
    request: Call,
    sessions: NamedDependency[Sessions],
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Most entries on the page.")] = 20,
) -> SessionPage:
    """List the open sessions, newest first."""
    user = request.user
    return await sessions.page(user.account_id, cursor=cursor, limit=limit, current=user.session_id)


@delete("/sessions/{session_id:uuid}", summary="Close a session", responses=_refusals(404))
async def close_session(
    request: Call,
    sessions: NamedDependency[Sessions],
    session_id: Annotated[UUID, PathParameter(description="Id of the session.")],
) -> None:
    """Close one of the account's sessions; its tokens are dead at once."""
    await sessions.close(request.user.account_id, session_id, actor=actor_of(request))


@get(
    "/export",
    summary="Export the account",
    responses=_refusals()
    | {
        200: ResponseSpec(
            data_container=str,
            description="The lines, sent while they are read; the last one is of the kind `end` and counts them.",
            media_type="application/x-ndjson",
        )
    },
)
async def export_account(request: Call, account_export: NamedDependency[AccountExport]) -> Stream:
    """Export everything that is kept about the account: profile, keys (without the keys), sessions, detections, audit.

    Each line is a JSON document with its `kind` and its `data`.
    """
    lines = await account_export.open(request.user.account_id, actor=actor_of(request))
    name = f"account-{datetime.now(UTC):%Y%m%d}.jsonl"
    return Stream(
        lines,
        headers={"content-disposition": f'attachment; filename="{name}"'},
        media_type="application/x-ndjson",
    )


account_routes = Router(
    "/v1/account",
    route_handlers=[
        read_account,
        update_account,
        delete_account,
        change_password,
        list_sessions,
        close_session,
        export_account,
    ],
    guards=[require(ACCOUNT)],
    security=KEYED,
    tags=["Account"],
)
