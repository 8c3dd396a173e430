"""`/v1/keys`: make, list, change, rotate and revoke the keys of an account."""

from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter, QueryParameter

from gateway.access.guard import Caller, require
from gateway.access.scopes import KEYS
from gateway.audit.service import actor_of
from gateway.idempotency.handlers import idempotent
from gateway.keys.schemas import KeyChange, KeyPage, KeyView, NewKeyOrder, NewKeyView, Rotation
from gateway.keys.service import Keys
from gateway.reference.operations import KEYED, OptionalBodyOperation
from gateway.reference.problems import problems

KeyId = Annotated[UUID, PathParameter(description="Id of the key.")]
Call = Request[Caller, Any, Any]

_PROBLEMS: Final = problems(
    {
        400: "A parameter or the body is at fault.",
        401: "No valid API key or access token.",
        403: "The key lacks the scope `keys`, or would give more than it has, or the account is suspended.",
        404: "The account has no such key.",
        409: "The key is revoked, expired or was rotated before, or the account has as many keys as it may.",
    }
)
_NEW: Final = Example(
    summary="A key for one program",
    value={
        "name": "nightly import",
        "scopes": ["detect:image", "detect:video"],
        "expires_in": 7_776_000,
        "allowed_addresses": ["192.0.2.0/24"],
        "daily_limit": 500,
    },
)
_CHANGE: Final = Example(summary="Narrow a key", value={"scopes": ["detect:image"], "daily_limit": 100})
_ROTATION: Final = Example(summary="An hour to change over", value={"overlap_s": 3600})
_OF_LISTS: Final = {status: _PROBLEMS[status] for status in (400, 401, 403)}
_OF_NEW: Final = {status: _PROBLEMS[status] for status in (400, 401, 403, 409)}
_OF_ONE: Final = {status: _PROBLEMS[status] for status in (401, 403, 404)}


@post("/", summary="Make a key", responses=_OF_NEW)
@idempotent
async def create_key(
    request: Call, data: Annotated[NewKeyOrder, Body(examples=[_NEW])], keys: NamedDependency[Keys]
) -> NewKeyView:
    """Make a key, and answer its text, which is not shown again.

    Made with another key, it gets no more than that one has.
    """
    return await keys.create(request.user, data, actor_of(request))


@get("/", summary="List keys", responses=_OF_LISTS)
async def list_keys(
    request: Call,
    keys: NamedDependency[Keys],
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Most entries on the page.")] = 20,
    revoked: Annotated[bool, QueryParameter(description="Whether the revoked ones are listed, too.")] = False,
) -> KeyPage:
    """List the account's keys, newest first."""
    return await keys.page(request.user.account_id, cursor=cursor, limit=limit, revoked=revoked)


@get("/{key_id:uuid}", summary="Read a key", responses=_OF_ONE)
async def read_key(request: Call, keys: NamedDependency[Keys], key_id: KeyId) -> KeyView:
    """Read one of the account's keys."""
    return await keys.one(request.user.account_id, key_id)


@patch("/{key_id:uuid}", summary="Change a key", responses=_PROBLEMS)
async def change_key(
    request: Call, data: Annotated[KeyChange, Body(examples=[_CHANGE])], keys: NamedDependency[Keys], key_id: KeyId
) -> KeyView:
    """Change a key's name, scopes, allow-lists, limits or expiry. What is left out stays; null lifts a restriction."""
    return await keys.change(request.user, key_id, data, actor_of(request))


@post("/{key_id:uuid}/rotate", summary="Rotate a key", operation_class=OptionalBodyOperation, responses=_PROBLEMS)
@idempotent
async def rotate_key(
    request: Call,
    keys: NamedDependency[Keys],
    key_id: KeyId,
    data: Annotated[Rotation | None, Body(examples=[_ROTATION])] = None,
) -> NewKeyView:
    """Make a key that takes the place of this one, and answer its text, which is not shown again.

    The old key works on for `overlap_s` seconds, a day by default; both are counted on the same limits.
    """
    return await keys.rotate(request.user, key_id, (data or Rotation()).overlap_s, actor_of(request))


@delete("/{key_id:uuid}", summary="Revoke a key", responses=_OF_ONE)
async def revoke_key(request: Call, keys: NamedDependency[Keys], key_id: KeyId) -> None:
    """Revoke a key: from now on it opens nothing, at whatever process it arrives."""
    await keys.revoke(request.user.account_id, key_id, actor_of(request))


key_routes = Router(
    "/v1/keys",
    route_handlers=[create_key, list_keys, read_key, change_key, rotate_key, revoke_key],
    guards=[require(KEYS)],
    security=KEYED,
    tags=["Keys"],
)
