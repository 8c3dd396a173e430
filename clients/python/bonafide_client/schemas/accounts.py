"""Accounts, their sessions and tokens."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from bonafide_client.schemas import Schema


class Account(Schema, frozen=True):
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


class TokenAnswer(Schema, frozen=True):
    """Tokens of a session; `expires_in` are the seconds that the access token lives."""

    access_token: str
    expires_in: int
    refresh_token: str | None


class SignInAnswer(TokenAnswer, frozen=True):
    """Tokens of a new session, and whose it is."""

    account: Account


class Session(Schema, frozen=True):
    """A sign-in that lasts. `last_used_at` is its last refresh; `current` marks the one that asks."""

    id: UUID
    method: str
    client: str
    address: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool


class Passkey(Schema, frozen=True):
    """A passkey as its owner sees it."""

    id: UUID
    name: str
    transports: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None


class PasskeyList(Schema, frozen=True):
    """All passkeys of an account, the oldest first."""

    data: tuple[Passkey, ...]


class Identity(Schema, frozen=True):
    """An account as an outside issuer knows it; `provider` is None where the issuer is none that one signs in at."""

    provider: str | None
    issuer: str
    subject: str
    email: str | None
    created_at: datetime
    last_used_at: datetime | None


class IdentityList(Schema, frozen=True):
    """All identities of an account, the oldest first."""

    data: tuple[Identity, ...]


class Provider(Schema, frozen=True):
    """Where one can sign in from outside; a browser begins at `start_url`."""

    name: str
    title: str
    start_url: str


class ProviderList(Schema, frozen=True):
    """All providers."""

    data: tuple[Provider, ...]
