"""`/api/auth`, which contracts B and D share: each handler takes the bodies of both and answers what either expects.

B registers with a username and logs in by it; D registers by e-mail alone. An account can log in by either name.
"""

from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import Body, QueryParameter

from gateway.access.guard import Caller, require
from gateway.access.scopes import ACCOUNT
from gateway.accounts.names import LONGEST_EMAIL
from gateway.accounts.profiles import Profiles
from gateway.accounts.recovery import Recovery
from gateway.accounts.schemas import AccountView, Email, NewPassword, Password, Username
from gateway.accounts.service import Accounts
from gateway.accounts.sessions import Sessions, Tokens, client_name
from gateway.audit.service import actor_of
from gateway.compat.refusals import READING, SIGNING_IN, refusals
from gateway.errors import InvalidBodyError
from gateway.limits.addresses import limit_by_address
from gateway.reference.operations import KEYED

LIFETIME: Final = timedelta(hours=24)
"""How long these clients' access tokens live."""
_LONGEST_TOKEN: Final = 200
_WELCOME: Final = "The account was made."
_VERIFY_FIRST: Final = "The account was made; open the link in the mail that we sent, then log in."


class NewUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who registers; clients of contract D give no username."""

    email: Email
    password: NewPassword
    username: Username | None = None


class UserLogin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who logs in, by one of the two names; an e-mail is good as a username too."""

    password: Password
    username: Annotated[str, msgspec.Meta(max_length=LONGEST_EMAIL)] | None = None
    email: Annotated[str, msgspec.Meta(max_length=LONGEST_EMAIL)] | None = None


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account: `id` is its number, `account_id` its id on `/v1`.

    `username` is what it can log in by: where it has none, its e-mail.
    """

    id: int
    account_id: UUID
    username: str | None
    email: str | None
    email_verified: bool
    role: Literal["user", "super_admin"]


class UserAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whose token it is."""

    success: bool = True
    user: User


class RegisterAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An account just made."""

    success: bool = True
    message: str
    user: User


class LoginAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens, shown this once: the access token lives `expires_in` seconds; `/v1/auth/refresh` takes the other one."""

    success: bool = True
    message: str
    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str | None
    user: User


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """That it was done."""

    success: bool = True
    message: str


@post("/register", summary="Register", guards=[limit_by_address], responses=refusals(400, 429, 503))
async def register(
    request: Request[Any, Any, Any],
    data: Annotated[NewUser, Body()],
    accounts: NamedDependency[Accounts],
    profiles: NamedDependency[Profiles],
) -> RegisterAnswer:
    """Make an account, and mail a token that verifies its e-mail.

    Where the deployment asks for verified e-mails, the account can log in once the mail's link was opened.
    """
    made = await accounts.register(
        email=data.email, password=data.password, username=data.username, actor=actor_of(request)
    )
    return RegisterAnswer(
        message=_VERIFY_FIRST if made.awaits_verification else _WELCOME,
        user=_user(await profiles.read(made.account_id)),
    )


@post("/login", summary="Log in", status_code=200, responses=SIGNING_IN)
async def log_in(
    request: Request[Any, Any, Any],
    data: Annotated[UserLogin, Body()],
    accounts: NamedDependency[Accounts],
    sessions: NamedDependency[Sessions],
    profiles: NamedDependency[Profiles],
) -> LoginAnswer:
    """Open a session by username or e-mail and password; its access token lives 24 hours."""
    name = data.username or data.email
    if name is None:
        raise InvalidBodyError("Say who logs in, as `username` or as `email`.")
    by = actor_of(request)
    member = await accounts.log_in(name, data.password, address=by.address, actor=by)
    tokens = await sessions.open(
        member.account_id,
        method="password",
        address=by.address,
        client=client_name(request),
        access_lifetime=LIFETIME,
        proof=member.proof,
        actor=by,
    )
    return login_answer(tokens, await profiles.read(member.account_id))


@get("/me", summary="Read whose token it is", guards=[require(ACCOUNT)], security=KEYED, responses=READING)
async def read_me(request: Request[Caller, Any, Any], profiles: NamedDependency[Profiles]) -> UserAnswer:
    """Read the account behind the token."""
    return UserAnswer(user=_user(await profiles.read(request.user.account_id)))


@get("/verify-email", summary="Verify the e-mail", responses=refusals(400, 503))
async def verify_email(
    request: Request[Any, Any, Any],
    recovery: NamedDependency[Recovery],
    token: Annotated[
        str, QueryParameter(min_length=1, max_length=_LONGEST_TOKEN, description="The token of the mail.")
    ],
) -> Done:
    """Verify an e-mail by the link of the mail. It works once."""
    await recovery.verify_email(token, actor=actor_of(request))
    return Done(message="The e-mail address is verified.")


def login_answer(tokens: Tokens, account: AccountView) -> LoginAnswer:
    """The answer to a sign-in, of whatever method."""
    return LoginAnswer(
        message="Welcome back.",
        access_token=tokens.access_token,
        token_type="Bearer",  # noqa: S106 - Its kind, not a secret.
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
        user=_user(account),
    )


def _user(account: AccountView) -> User:
    return User(
        id=account.number,
        account_id=account.id,
        username=account.username or account.email,
        email=account.email,
        email_verified=account.email_verified,
        role=account.role,
    )


compat_sign_in_routes = Router(
    "/api/auth", route_handlers=[register, log_in, read_me, verify_email], tags=["Sign-in of the older contracts"]
)
