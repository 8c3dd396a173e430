"""Contract D, the collection-and-review API, as its clients know it; its sign-in is in `sign_in`.

So far of the rest: the users, for super_admins.
"""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from gateway.access.guard import require_admin
from gateway.admin.schemas import Status
from gateway.admin.users import UserFilter, Users
from gateway.compat.refusals import READING
from gateway.compat.sign_in import User
from gateway.reference.operations import KEYED

_LONGEST_SEARCH: Final = 254
_PRINTABLE: Final = r"^[^\x00-\x1f\x7f]*$"


class ListedUser(User, frozen=True, kw_only=True):
    """A user as super_admins see it."""

    status: Status
    plan: str
    created_at: datetime


class UsersAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of users, newest first; `count` is how many are on it, `next_cursor` asks for those after them."""

    success: bool = True
    users: tuple[ListedUser, ...]
    count: int
    next_cursor: str | None


@get("/users", summary="List users", guards=[require_admin], security=KEYED, responses=READING)
async def list_users(
    users: NamedDependency[Users],
    search: Annotated[
        str | None,
        QueryParameter(
            max_length=_LONGEST_SEARCH, pattern=_PRINTABLE, description="A part of the e-mail or the username."
        ),
    ] = None,
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the answer before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500, description="Most users in the answer.")] = 100,
) -> UsersAnswer:
    """List the users of the platform; for super_admins only."""
    page = await users.page(UserFilter(search=search), cursor=cursor, limit=limit)
    listed = tuple(
        ListedUser(
            id=user.number,
            account_id=user.id,
            username=user.username or user.email,
            email=user.email,
            email_verified=user.email_verified,
            role=user.role,
            status=user.status,
            plan=user.plan,
            created_at=user.created_at,
        )
        for user in page.data
    )
    return UsersAnswer(users=listed, count=len(listed), next_cursor=page.next_cursor)


collection_routes = Router("/api/admin", route_handlers=[list_users], tags=["Collection and review"])
