"""`/v1/account/passkeys` and `/v1/auth/passkeys`: keep passkeys, and sign in with one."""

from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Body, PathParameter

from gateway.access.guard import FRESH, Caller, require, require_fresh
from gateway.access.scopes import ACCOUNT
from gateway.accounts.profiles import Profiles
from gateway.accounts.schemas import LoginAnswer
from gateway.accounts.sessions import Sessions, client_name
from gateway.accounts.sign_in_handlers import login_answer
from gateway.audit.service import actor_of
from gateway.idempotency.handlers import idempotent
from gateway.limits.addresses import limit_by_address
from gateway.passkeys.challenges import LIFETIME
from gateway.passkeys.schemas import (
    CreationOptions,
    Hint,
    NewName,
    PasskeyList,
    PasskeyView,
    Registration,
    RequestOptions,
    SignIn,
)
from gateway.passkeys.service import Passkeys
from gateway.passkeys.sign_in import PasskeySignIn
from gateway.reference.operations import KEYED
from gateway.reference.problems import problems

Call = Request[Caller, Any, Any]
PasskeyPath = Annotated[UUID, PathParameter(description="Id of the passkey.")]

_PROBLEMS: Final = problems(
    {
        400: "The body is at fault, or the passkey could not be verified.",
        401: "No valid access token or key, or the passkey is not accepted.",
        403: "The account may not, the key lacks the scope `account`, or a sign-in just now is needed; see `code`.",
        404: "The account has no such passkey.",
        409: "This cannot be done as things stand; `code` says why.",
        429: "Too many attempts; see Retry-After.",
    }
)


def _refusals(*statuses: int) -> dict[int, ResponseSpec]:
    return {status: _PROBLEMS[status] for status in statuses}


@get("/", summary="List passkeys", responses=_refusals(401, 403))
async def list_passkeys(request: Call, passkeys: NamedDependency[Passkeys]) -> PasskeyList:
    """List the account's passkeys."""
    return await passkeys.list(request.user.account_id)


@post(
    "/register",
    summary="Begin to add a passkey",
    status_code=200,
    guards=[require_fresh()],
    responses=_refusals(401, 403, 409),
)
async def begin_registration(request: Call, passkeys: NamedDependency[Passkeys]) -> CreationOptions:
    """Ask for the options of `navigator.credentials.create()`, within ten minutes of signing in; a key may not."""
    return await passkeys.begin(request.user.account_id)


@post(
    "/register/verify",
    summary="Add a passkey",
    guards=[require_fresh(FRESH + LIFETIME)],
    responses=_refusals(400, 401, 403, 409),
)
@idempotent
async def finish_registration(
    request: Call, data: Annotated[Registration, Body()], passkeys: NamedDependency[Passkeys]
) -> PasskeyView:
    """Hand over what the authenticator made. From then on one can sign in with it."""
    return await passkeys.finish(request.user.account_id, data.credential, data.name, actor=actor_of(request))


@patch("/{passkey_id:uuid}", summary="Rename a passkey", responses=_refusals(400, 401, 403, 404))
async def rename_passkey(
    request: Call, passkey_id: PasskeyPath, data: Annotated[NewName, Body()], passkeys: NamedDependency[Passkeys]
) -> PasskeyView:
    """Call a passkey something else."""
    return await passkeys.rename(request.user.account_id, passkey_id, data.name, actor=actor_of(request))


@delete("/{passkey_id:uuid}", summary="Remove a passkey", responses=_refusals(401, 403, 404, 409))
async def remove_passkey(request: Call, passkey_id: PasskeyPath, passkeys: NamedDependency[Passkeys]) -> None:
    """Remove a passkey, unless it is the last way to sign in. Sessions that it opened go on."""
    await passkeys.remove(request.user.account_id, passkey_id, actor=actor_of(request))


@post(
    "/login",
    summary="Begin to sign in with a passkey",
    status_code=200,
    guards=[limit_by_address],
    responses=_refusals(400, 429),
)
async def begin_sign_in(
    passkey_sign_in: NamedDependency[PasskeySignIn], data: Annotated[Hint | None, Body()] = None
) -> RequestOptions:
    """Ask for the options of `navigator.credentials.get()`. Whether an account has passkeys does not show."""
    return await passkey_sign_in.begin(None if data is None else data.login)


@post("/login/verify", summary="Sign in with a passkey", status_code=200, responses=_refusals(400, 401, 403, 429))
async def finish_sign_in(
    request: Request[Any, Any, Any],
    data: Annotated[SignIn, Body()],
    passkey_sign_in: NamedDependency[PasskeySignIn],
    sessions: NamedDependency[Sessions],
    profiles: NamedDependency[Profiles],
) -> LoginAnswer:
    """Open a session by what the authenticator signed."""
    by = actor_of(request)
    account_id = await passkey_sign_in.finish(data.credential, actor=by)
    tokens = await sessions.open(
        account_id, method="passkey", address=by.address, client=client_name(request), actor=by
    )
    return login_answer(tokens, await profiles.read(account_id))


passkey_routes = Router(
    "/v1/account/passkeys",
    route_handlers=[list_passkeys, begin_registration, finish_registration, rename_passkey, remove_passkey],
    guards=[require(ACCOUNT)],
    security=KEYED,
    tags=["Account"],
)
passkey_sign_in_routes = Router("/v1/auth/passkeys", route_handlers=[begin_sign_in, finish_sign_in], tags=["Sign-in"])
