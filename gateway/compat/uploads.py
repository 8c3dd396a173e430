"""Contract C, the upload-and-job API, as its clients know it. Its `/health` paths are served by `gateway.health`."""

from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, get
from litestar.router import Router

from gateway.access.guard import Caller, require
from gateway.access.scopes import ACCOUNT
from gateway.compat.refusals import READING
from gateway.reference.operations import KEYED


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose token it is; `email` is null for an account that has none."""

    id: UUID
    email: str | None
    authenticated: Literal[True] = True


@get(
    "/me",
    summary="Read whose token it is",
    guards=[require(ACCOUNT)],
    security=KEYED,
    responses=READING,
    sync_to_thread=False,
)
def read_me(request: Request[Caller, Any, Any]) -> Identity:
    """Read the account behind the token, of ours or of an outside issuer."""
    return Identity(id=request.user.account_id, email=request.user.email)


upload_routes = Router("/auth", route_handlers=[read_me], tags=["Uploads and jobs"])
