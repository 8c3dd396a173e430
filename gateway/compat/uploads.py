"""Contract C, the upload-and-job API, as its clients know it. Its `/health` paths are served by `gateway.health`."""

from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.router import Router

from gateway.access.guard import Caller, require
from gateway.access.scopes import ACCOUNT
from gateway.accounts.identities import Identities
from gateway.compat.refusals import READING
from gateway.reference.operations import KEYED


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose token it is; `email` is the account's own, else that that an outside issuer has verified, else null."""

    id: UUID
    email: str | None
    authenticated: Literal[True] = True


@get("/me", summary="Read whose token it is", guards=[require(ACCOUNT)], security=KEYED, responses=READING)
async def read_me(request: Request[Caller, Any, Any], identities: NamedDependency[Identities]) -> Identity:
    """Read the account behind the token, of ours or of an outside issuer."""
    email = request.user.email
    if email is None:
        known = await identities.of_account(request.user.account_id)
        email = next((one.email for one in known if one.email_verified), None)
    return Identity(id=request.user.account_id, email=email)


upload_routes = Router("/auth", route_handlers=[read_me], tags=["Uploads and jobs"])
