"""`/v1/auth`: register, verify the e-mail, log in and out, refresh, and get a new password."""

from typing import Annotated, Any, Final

from litestar import Request, Router, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Body

from gateway.access.guard import Caller, require
from gateway.access.scopes import ACCOUNT
from gateway.accounts.profiles import Profiles
from gateway.accounts.recovery import Recovery
from gateway.accounts.schemas import (
    AccountView,
    Login,
    LoginAnswer,
    MailAnswer,
    MailedToken,
    MailRequest,
    PasswordReset,
    Refresh,
    Registration,
    TokenAnswer,
)
from gateway.accounts.service import Accounts
from gateway.accounts.sessions import Sessions, Tokens, client_name
from gateway.audit.service import actor_of
from gateway.errors import NotFoundError
from gateway.limits.addresses import limit_by_address
from gateway.reference.operations import KEYED
from gateway.reference.problems import problems

Anonymous = Request[Any, Any, Any]
Call = Request[Caller, Any, Any]

_PROBLEMS: Final = problems(
    {
        400: "The body is at fault, or the token is not valid.",
        401: "The name, the password or the token is wrong.",
        403: "The account is suspended or its e-mail not verified, or the key lacks the scope.",
        404: "The caller has no session: it uses a key.",
        409: "There is an account with this e-mail or username.",
        429: "Too many attempts; see Retry-After.",
        503: "Too many wait; see Retry-After.",
    }
)


def _refusals(*statuses: int) -> dict[int, ResponseSpec]:
    return {status: _PROBLEMS[status] for status in statuses}


@post("/register", summary="Register", guards=[limit_by_address], responses=_refusals(400, 409, 429, 503))
async def register(
    request: Anonymous,
    data: Annotated[Registration, Body()],
    accounts: NamedDependency[Accounts],
    profiles: NamedDependency[Profiles],
) -> AccountView:
    """Make an account, and mail a token that verifies its e-mail.

    It has a primary key with every ordinary scope, which nobody has seen: `/regenerate-key` shows a new one.
    """
    made = await accounts.register(
        email=data.email, password=data.password, username=data.username, actor=actor_of(request)
    )
    return await profiles.read(made.account_id)


@post("/login", summary="Log in", status_code=200, responses=_refusals(400, 401, 403, 429, 503))
async def log_in(
    request: Anonymous,
    data: Annotated[Login, Body()],
    accounts: NamedDependency[Accounts],
    sessions: NamedDependency[Sessions],
    profiles: NamedDependency[Profiles],
) -> LoginAnswer:
    """Open a session by password, with a short access token and a refresh token to renew it.

    After some failures in a row each try has to wait longer than the one before, up to a cap; `Retry-After` says so.
    """
    by = actor_of(request)
    member = await accounts.log_in(data.login, data.password, address=by.address, actor=by)
    tokens = await sessions.open(
        member.account_id,
        method="password",
        address=by.address,
        client=client_name(request),
        proof=member.proof,
        actor=by,
    )
    return login_answer(tokens, await profiles.read(member.account_id))


@post("/refresh", summary="Refresh", status_code=200, responses=_refusals(400, 401, 403))
async def refresh(
    request: Anonymous, data: Annotated[Refresh, Body()], sessions: NamedDependency[Sessions]
) -> TokenAnswer:
    """Exchange a refresh token for new tokens of the same session. It works once.

    Used again, it closes the session with all its tokens: somebody else may have it.
    """
    tokens = await sessions.refresh(data.refresh_token, actor=actor_of(request))
    return TokenAnswer(
        access_token=tokens.access_token,
        token_type="Bearer",  # noqa: S106 - Its kind, not a secret.
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
    )


@post(
    "/logout",
    summary="Log out",
    status_code=204,
    guards=[require(ACCOUNT)],
    security=KEYED,
    responses=_refusals(401, 403, 404),
)
async def log_out(request: Call, sessions: NamedDependency[Sessions]) -> None:
    """Close the session that the access token names; its tokens are dead at once."""
    if request.user.session_id is None:
        raise NotFoundError("There is no session to close.")
    await sessions.close(request.user.account_id, request.user.session_id, actor=actor_of(request))


@post(
    "/logout-everywhere",
    summary="Log out everywhere",
    status_code=204,
    guards=[require(ACCOUNT)],
    security=KEYED,
    responses=_refusals(401, 403),
)
async def log_out_everywhere(request: Call, sessions: NamedDependency[Sessions]) -> None:
    """Close all sessions of the account. Keys stay as they are."""
    await sessions.close_all(request.user.account_id, actor=actor_of(request))


@post("/verify-email", summary="Verify the e-mail", status_code=204, responses=_refusals(400))
async def verify_email(
    request: Anonymous, data: Annotated[MailedToken, Body()], recovery: NamedDependency[Recovery]
) -> None:
    """Prove by the token of a verification mail that the e-mail is one's own."""
    await recovery.verify_email(data.token, actor=actor_of(request))


@post("/verify-email/resend", summary="Mail the verification again", status_code=202, responses=_refusals(400, 429))
async def resend_verification(
    request: Anonymous, data: Annotated[MailRequest, Body()], recovery: NamedDependency[Recovery]
) -> MailAnswer:
    """Mail a new token to verify this e-mail, where an account needs it; the answer is the same if not.

    There is at most one such mail a minute; the tokens of earlier ones are void.
    """
    await recovery.ask(data.email, "verify_email", actor=actor_of(request))
    return MailAnswer(message="If an account waits for this e-mail to be verified, a mail is on its way.")


@post("/password/forgot", summary="Forget the password", status_code=202, responses=_refusals(400, 429))
async def forget_password(
    request: Anonymous, data: Annotated[MailRequest, Body()], recovery: NamedDependency[Recovery]
) -> MailAnswer:
    """Mail a token that sets a new password, where there is an account; the answer is the same if not.

    There is at most one such mail a minute; the tokens of earlier ones are void.
    """
    await recovery.ask(data.email, "reset_password", actor=actor_of(request))
    return MailAnswer(message="If there is an account with this e-mail, a mail is on its way.")


@post("/password/reset", summary="Set a new password", status_code=204, responses=_refusals(400, 503))
async def reset_password(
    request: Anonymous, data: Annotated[PasswordReset, Body()], recovery: NamedDependency[Recovery]
) -> None:
    """Set a new password by a mailed token, which verifies the e-mail as well. All sessions close.

    Keys, passkeys and identities end too, unless the body says `keep_access`; where the e-mail had not been verified
    before, they end in any case.
    """
    await recovery.reset_password(data.token, data.password, keep_access=data.keep_access, actor=actor_of(request))


def login_answer(tokens: Tokens, account: AccountView) -> LoginAnswer:
    """The answer to a sign-in, of whatever method."""
    return LoginAnswer(
        access_token=tokens.access_token,
        token_type="Bearer",  # noqa: S106 - Its kind, not a secret.
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
        account=account,
    )


sign_in_routes = Router(
    "/v1/auth",
    route_handlers=[
        register,
        log_in,
        refresh,
        log_out,
        log_out_everywhere,
        verify_email,
        resend_verification,
        forget_password,
        reset_password,
    ],
    tags=["Sign-in"],
)
