"""`/v1/auth/oidc` and `/v1/account/identities`: sign in at an outside provider, and link what it knows one by."""

from typing import Annotated, Any, Final

from litestar import Request, Response, Router, delete, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Body, PathParameter, QueryParameter
from litestar.response import Redirect

from gateway.access.guard import Caller, require, require_fresh
from gateway.access.scopes import ACCOUNT
from gateway.accounts.identities import Identities
from gateway.accounts.schemas import LoginAnswer
from gateway.accounts.sessions import client_name
from gateway.audit.service import actor_of
from gateway.limits.addresses import limit_by_address
from gateway.oidc.entry import Entry
from gateway.oidc.schemas import IdentityList, IdentityView, ProviderList, ProviderView, Redemption
from gateway.oidc.service import FLOW_LIFETIME, PATH, OutsideSignIn, Return
from gateway.reference.operations import KEYED
from gateway.reference.problems import problems

Anonymous = Request[Any, Any, Any]
Call = Request[Caller, Any, Any]
ProviderPath = Annotated[str, PathParameter(description="Name of the provider.")]

_TEXT: Final = r"^[^\x00-\x1f\x7f]+$"
# Addresses on these ways hold secrets for a moment: nobody keeps the answers or is told where one came from.
_DISCREET: Final = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
_PROBLEMS: Final = problems(
    {
        400: "A parameter or the body is at fault.",
        401: "The provider or we did not confirm the sign-in, or no valid access token or key.",
        403: "The account may not, the key lacks the scope `account`, or a sign-in just now is needed; see `code`.",
        404: "There is no such provider or identity.",
        409: "The identity or its e-mail belongs to another account, or it is the last way in; `code` says which.",
        429: "Too many sign-ins were begun from this address; see Retry-After.",
        503: "The provider does not answer; see Retry-After.",
    }
)


def _refusals(*statuses: int) -> dict[int, ResponseSpec]:
    return {status: _PROBLEMS[status] for status in statuses}


@get("/", summary="List providers", sync_to_thread=False)
def list_providers(outside_sign_in: NamedDependency[OutsideSignIn]) -> ProviderList:
    """List the outside providers that one can sign in at."""
    return ProviderList(
        data=tuple(
            ProviderView(name=one.name, title=one.title, start_url=outside_sign_in.start_url(one))
            for one in outside_sign_in.providers
        )
    )


@get(
    "/{provider:str}/start",
    summary="Begin at a provider",
    status_code=302,
    guards=[limit_by_address],
    responses=_refusals(400, 404, 429, 503),
)
async def start(
    provider: ProviderPath,
    outside_sign_in: NamedDependency[OutsideSignIn],
    return_to: Annotated[
        str | None, QueryParameter(max_length=2000, description="The page to come back to, of an allowed origin.")
    ] = None,
    challenge: Annotated[
        str | None,
        QueryParameter(
            pattern=r"^[A-Za-z0-9_-]{43}$",
            description="SHA-256, in base64url, of a secret that the page keeps; needed with `return_to`.",
        ),
    ] = None,
) -> Redirect:
    """Send the browser to the provider. A page comes here by navigating, not by fetching.

    The browser comes back to `return_to` with `#code=…`, which is exchanged at `/v1/auth/oidc/exchange` or linked at
    `/v1/account/identities`, or with `#error=…`. Without `return_to` the tokens are answered where it arrives.
    """
    departure = await outside_sign_in.start(provider, return_to=return_to, challenge=challenge)
    cookie = Cookie(
        key=departure.cookie,
        value=departure.secret,
        path=PATH,
        max_age=int(FLOW_LIFETIME.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=outside_sign_in.secure_cookie,
    )
    return Redirect(departure.url, status_code=302, headers=_DISCREET, cookies=[cookie])


@get(
    "/{provider:str}/callback",
    summary="Come back from a provider",
    responses=_refusals(400, 401, 403, 404, 409, 503)
    | {302: ResponseSpec(data_container=None, description="Back to the page that asked.")},
)
async def finish(
    request: Anonymous,
    *,
    provider: ProviderPath,
    outside_sign_in: NamedDependency[OutsideSignIn],
    entry: NamedDependency[Entry],
    said_state: Annotated[str, QueryParameter(name="state", max_length=200, description="As it was sent out.")],
    code: Annotated[str | None, QueryParameter(max_length=4096, description="The provider's code.")] = None,
    error: Annotated[str | None, QueryParameter(max_length=200, description="Why the provider refuses.")] = None,
    iss: Annotated[str | None, QueryParameter(max_length=255, description="Who answers (RFC 9207).")] = None,
) -> Response[LoginAnswer | None]:
    """Take the browser back from the provider. It works once, and only in the browser that began."""
    answer = Return(state=said_state, code=code, error=error, issuer=iss)
    arrival = await outside_sign_in.finish(provider, answer, request.cookies)
    spent = [Cookie(key=arrival.cookie, value="", path=PATH, max_age=0, httponly=True, samesite="lax")]
    if arrival.person is None:
        location = _DISCREET | {"location": arrival.return_to or ""}
        return Response(None, status_code=302, headers=location, cookies=spent)
    signed_in = await entry.let_in(arrival.person, client=client_name(request), actor=actor_of(request))
    return Response(signed_in, headers=_DISCREET, cookies=spent)


@post("/exchange", summary="Exchange the code", status_code=200, responses=_refusals(400, 401, 403, 409))
async def exchange(
    request: Anonymous,
    data: Annotated[Redemption, Body()],
    outside_sign_in: NamedDependency[OutsideSignIn],
    entry: NamedDependency[Entry],
) -> LoginAnswer:
    """Open a session by the code that the page got. Whoever comes for the first time gets an account.

    Where the provider has verified an e-mail that an account has already, the answer is 409 with `link_required`:
    sign in to that account, begin anew, and link.
    """
    person = await outside_sign_in.redeem(data.code, data.verifier)
    return await entry.let_in(person, client=client_name(request), actor=actor_of(request))


@get("/", summary="List identities", responses=_refusals(401, 403))
async def list_identities(
    request: Call, identities: NamedDependency[Identities], outside_sign_in: NamedDependency[OutsideSignIn]
) -> IdentityList:
    """List what outside issuers know the account by."""
    known = await identities.of_account(request.user.account_id)
    return IdentityList(
        data=tuple(
            IdentityView(
                provider=outside_sign_in.name_of(one.issuer),
                issuer=one.issuer,
                subject=one.subject,
                email=one.email,
                created_at=one.created_at,
                last_used_at=one.last_used_at,
            )
            for one in known
        )
    )


@post(
    "/",
    summary="Link an identity",
    status_code=204,
    guards=[require_fresh()],
    responses=_refusals(400, 401, 403, 409),
)
async def link_identity(
    request: Call,
    data: Annotated[Redemption, Body()],
    identities: NamedDependency[Identities],
    outside_sign_in: NamedDependency[OutsideSignIn],
) -> None:
    """Link whom the provider vouched for to the account that is signed in; from then on one can sign in there too.

    It takes a sign-in of the last ten minutes, and no key.
    """
    person = await outside_sign_in.redeem(data.code, data.verifier)
    await identities.link(person, request.user.account_id, actor=actor_of(request))


@delete("/", summary="Unlink an identity", responses=_refusals(400, 401, 403, 404, 409))
async def unlink_identity(
    request: Call,
    identities: NamedDependency[Identities],
    issuer: Annotated[str, QueryParameter(max_length=255, pattern=_TEXT, description="As it is listed.")],
    subject: Annotated[str, QueryParameter(max_length=255, pattern=_TEXT, description="As it is listed.")],
) -> None:
    """Unlink an identity, unless it is the last way to sign in."""
    await identities.unlink(request.user.account_id, issuer, subject, actor=actor_of(request))


outside_sign_in_routes = Router(PATH, route_handlers=[list_providers, start, finish, exchange], tags=["Sign-in"])
identity_routes = Router(
    "/v1/account/identities",
    route_handlers=[list_identities, link_identity, unlink_identity],
    guards=[require(ACCOUNT)],
    security=KEYED,
    tags=["Account"],
)
