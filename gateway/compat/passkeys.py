"""Contract D's passkeys, beside the rest of `/api/auth`; the bodies are those of `/v1`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, post
from litestar.di import NamedDependency
from litestar.params import Body

from gateway.access.guard import FRESH, Caller, require, require_fresh
from gateway.access.scopes import ACCOUNT
from gateway.accounts.names import LONGEST_EMAIL
from gateway.accounts.profiles import Profiles
from gateway.accounts.sessions import Sessions, client_name
from gateway.audit.service import actor_of
from gateway.compat.refusals import READING, SIGNING_IN
from gateway.compat.sign_in import LIFETIME, LoginAnswer, login_answer
from gateway.limits.addresses import limit_by_address
from gateway.passkeys.challenges import LIFETIME as CHALLENGE_LIFETIME
from gateway.passkeys.schemas import CreationOptions, PasskeyView, Registration, RequestOptions, SignIn
from gateway.passkeys.service import Passkeys
from gateway.passkeys.sign_in import PasskeySignIn
from gateway.reference.operations import KEYED


class WhoSignsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants to sign in, by one of the names; without any the authenticator offers what it has."""

    email: Annotated[str, msgspec.Meta(max_length=LONGEST_EMAIL)] | None = None
    username: Annotated[str, msgspec.Meta(max_length=LONGEST_EMAIL)] | None = None


class CreationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `navigator.credentials.create()`."""

    success: bool = True
    options: CreationOptions


class RequestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `navigator.credentials.get()`."""

    success: bool = True
    options: RequestOptions


class PasskeyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A passkey just added."""

    success: bool = True
    message: str
    verified: bool = True
    passkey: PasskeyView


@post(
    "/register",
    summary="Begin to add a passkey",
    status_code=200,
    guards=[require(ACCOUNT), require_fresh()],
    security=KEYED,
    responses=READING,
)
async def begin_registration(request: Request[Caller, Any, Any], passkeys: NamedDependency[Passkeys]) -> CreationAnswer:
    """Ask what a new passkey has to be made of. It takes a sign-in of the last ten minutes, and no key."""
    return CreationAnswer(options=await passkeys.begin(request.user.account_id))


@post(
    "/register/verify",
    summary="Add a passkey",
    status_code=200,
    guards=[require(ACCOUNT), require_fresh(FRESH + CHALLENGE_LIFETIME)],
    security=KEYED,
    responses=READING,
)
async def finish_registration(
    request: Request[Caller, Any, Any], data: Annotated[Registration, Body()], passkeys: NamedDependency[Passkeys]
) -> PasskeyAnswer:
    """Hand over the passkey that the authenticator made."""
    added = await passkeys.finish(request.user.account_id, data.credential, data.name, actor=actor_of(request))
    return PasskeyAnswer(message="The passkey was added.", passkey=added)


@post(
    "/login",
    summary="Begin to sign in with a passkey",
    status_code=200,
    guards=[limit_by_address],
    responses=SIGNING_IN,
)
async def begin_sign_in(
    passkey_sign_in: NamedDependency[PasskeySignIn], data: Annotated[WhoSignsIn | None, Body()] = None
) -> RequestAnswer:
    """Ask what has to be signed."""
    name = None if data is None else data.username or data.email
    return RequestAnswer(options=await passkey_sign_in.begin(name))


@post("/login/verify", summary="Sign in with a passkey", status_code=200, responses=SIGNING_IN)
async def finish_sign_in(
    request: Request[Any, Any, Any],
    data: Annotated[SignIn, Body()],
    passkey_sign_in: NamedDependency[PasskeySignIn],
    sessions: NamedDependency[Sessions],
    profiles: NamedDependency[Profiles],
) -> LoginAnswer:
    """Open a session by what the authenticator signed; its access token lives 24 hours."""
    by = actor_of(request)
    account_id = await passkey_sign_in.finish(data.credential, actor=by)
    tokens = await sessions.open(
        account_id,
        method="passkey",
        address=by.address,
        client=client_name(request),
        access_lifetime=LIFETIME,
        actor=by,
    )
    return login_answer(tokens, await profiles.read(account_id))


compat_passkey_routes = Router(
    "/api/auth/passkeys",
    route_handlers=[begin_registration, finish_registration, begin_sign_in, finish_sign_in],
    tags=["Sign-in of the older contracts"],
)
