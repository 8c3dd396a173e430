"""What `/v1/auth` and `/v1/account` take and answer; what an account may not set about itself, it cannot send."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from gateway.accounts.names import LONGEST_EMAIL, LONGEST_USERNAME
from gateway.accounts.passwords import LONGEST, SHORTEST
from gateway.detections.schemas import Schema

_LONGEST_TOKEN: Final = 200
_EMAIL_FORMAT: Final[dict[str, Any]] = {"format": "email"}

Email = Annotated[
    str, msgspec.Meta(max_length=LONGEST_EMAIL, extra_json_schema=_EMAIL_FORMAT, examples=["ada@example.org"])
]
Username = Annotated[
    str,
    msgspec.Meta(
        min_length=2,
        max_length=LONGEST_USERNAME,
        description="Letters, digits, dots, hyphens and underscores; unique, in whatever case.",
        examples=["ada"],
    ),
]
NewPassword = Annotated[
    str, msgspec.Meta(min_length=SHORTEST, max_length=LONGEST, extra_json_schema={"format": "password"})
]
Password = Annotated[str, msgspec.Meta(max_length=LONGEST, extra_json_schema={"format": "password"})]
Secret = Annotated[str, msgspec.Meta(max_length=_LONGEST_TOKEN)]


class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new account."""

    email: Email
    password: NewPassword
    username: Username | None = None


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sign-in; `login` is the e-mail or the username."""

    login: Annotated[str, msgspec.Meta(max_length=LONGEST_EMAIL, examples=["ada@example.org"])]
    password: Password


class Refresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token, which this use spends."""

    refresh_token: Secret


class MailedToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of a verification mail."""

    token: Secret


class MailRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a mail is wanted."""

    email: Email


class PasswordReset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of a password mail, and the new password; `keep_access` lets keys, passkeys and identities stay."""

    token: Secret
    password: NewPassword
    keep_access: bool = False


class PasswordChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The current password and the new one."""

    current_password: Password
    new_password: NewPassword


class AccountUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an account may change about itself."""

    username: Username


class AccountDeletion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The password; not needed by who signed in during the last ten minutes."""

    password: Password | None = None


class AccountView(Schema, frozen=True):
    """An account as its owner sees it. `number` is its id on the older contracts."""

    id: UUID
    number: int
    email: str | None
    email_verified: bool
    username: str | None
    role: Literal["user", "super_admin"]
    plan: str
    has_password: bool
    created_at: datetime


class TokenAnswer(Schema, frozen=True, kw_only=True):
    """Tokens of a session, shown this once; `expires_in` are the seconds that the access token lives."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str | None


class LoginAnswer(TokenAnswer, frozen=True, kw_only=True):
    """Tokens of a new session, and whose it is."""

    account: AccountView


class MailAnswer(Schema, frozen=True):
    """What can be said to somebody who may not know whether there is an account."""

    message: str


class SessionView(Schema, frozen=True):
    """A sign-in that lasts. `last_used_at` may lag by some seconds; `current` marks the one that asks."""

    id: UUID
    method: str
    client: str
    address: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool


class SessionPage(Schema, frozen=True):
    """A page of sessions, newest first; `next_cursor` is null on the last one."""

    data: tuple[SessionView, ...]
    next_cursor: str | None
