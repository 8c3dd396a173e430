"""`/v1/admin/users`: users and their keys, for super_admins."""

from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Body, PathParameter, QueryParameter

from gateway.access.guard import Caller, require_admin
from gateway.admin.schemas import PLAN_NAME, Role, Status, Suspension, UserChange, UserPage, UserView
from gateway.admin.users import UserFilter, Users
from gateway.audit.service import actor_of
from gateway.keys.schemas import KeyPage
from gateway.keys.service import Keys
from gateway.reference.operations import KEYED
from gateway.reference.problems import problems

Call = Request[Caller, Any, Any]
UserId = Annotated[UUID, PathParameter(description="Id of the user.")]
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Most entries on the page.")]

PROBLEMS: Final = problems(
    {
        400: "A parameter or the body is at fault.",
        401: "No valid access token or key.",
        403: "The caller is no super_admin, is suspended, or its key lacks the scope `admin`.",
        404: "There is no such thing.",
        409: "This cannot be done as things stand; `code` says why.",
        410: "What it was about is not there any more.",
    }
)


def refusals(*statuses: int) -> dict[int, ResponseSpec]:
    """How a call may be refused, beside for who calls."""
    return {status: PROBLEMS[status] for status in (401, 403, *statuses)}


@get("/", summary="List users", responses=refusals(400))
async def list_users(
    users: NamedDependency[Users],
    *,
    search: Annotated[
        str | None,
        QueryParameter(
            max_length=254,
            pattern=r"^[^\x00-\x1f\x7f]*$",
            description="A part of the e-mail or username, or an id or number.",
        ),
    ] = None,
    status: Annotated[Status | None, QueryParameter(description="In this status; deleted ones only so.")] = None,
    role: Annotated[Role | None, QueryParameter(description="With this role.")] = None,
    plan: Annotated[str | None, QueryParameter(pattern=PLAN_NAME, description="With this plan.")] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> UserPage:
    """List users, newest first."""
    wanted = UserFilter(search=search, status=status, role=role, plan=plan)
    return await users.page(wanted, cursor=cursor, limit=limit)


@get("/{user_id:uuid}", summary="Read a user", responses=refusals(404))
async def read_user(users: NamedDependency[Users], user_id: UserId) -> UserView:
    """Read a user, also a deleted one."""
    return await users.one(user_id)


@patch("/{user_id:uuid}", summary="Change a user", responses=refusals(400, 404, 409))
async def change_user(
    request: Call, data: Annotated[UserChange, Body()], users: NamedDependency[Users], user_id: UserId
) -> UserView:
    """Change role, plan or limits, from the user's next request on."""
    return await users.change(user_id, data, actor=actor_of(request))


@post("/{user_id:uuid}/suspend", summary="Suspend a user", status_code=200, responses=refusals(400, 404, 409))
async def suspend_user(
    request: Call, data: Annotated[Suspension, Body()], users: NamedDependency[Users], user_id: UserId
) -> UserView:
    """Shut a user out at once: sessions are closed, keys refused."""
    return await users.suspend(user_id, data.reason, actor=actor_of(request))


@post("/{user_id:uuid}/activate", summary="Activate a user", status_code=200, responses=refusals(404, 409))
async def activate_user(request: Call, users: NamedDependency[Users], user_id: UserId) -> UserView:
    """Let a suspended user in again. Keys work again; sessions that were closed stay so."""
    return await users.activate(user_id, actor=actor_of(request))


@get("/{user_id:uuid}/keys", summary="List a user's keys", responses=refusals(400, 404))
async def list_user_keys(
    users: NamedDependency[Users],
    keys: NamedDependency[Keys],
    user_id: UserId,
    *,
    revoked: Annotated[bool, QueryParameter(description="Whether the revoked ones are listed, too.")] = False,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> KeyPage:
    """List a user's keys, newest first."""
    await users.one(user_id)
    return await keys.page(user_id, cursor=cursor, limit=limit, revoked=revoked)


@delete("/{user_id:uuid}/keys/{key_id:uuid}", summary="Revoke a user's key", responses=refusals(404))
async def revoke_user_key(
    request: Call,
    keys: NamedDependency[Keys],
    user_id: UserId,
    key_id: Annotated[UUID, PathParameter(description="Id of the key.")],
) -> None:
    """End a user's key at once."""
    await keys.revoke(user_id, key_id, actor_of(request))


user_routes = Router(
    "/v1/admin/users",
    route_handlers=[
        list_users,
        read_user,
        change_user,
        suspend_user,
        activate_user,
        list_user_keys,
        revoke_user_key,
    ],
    guards=[require_admin],
    security=KEYED,
    tags=["Admin"],
)
