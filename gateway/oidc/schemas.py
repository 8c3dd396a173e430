"""What the routes of outside sign-in take and answer."""

from datetime import datetime
from typing import Annotated

import msgspec

from gateway.detections.schemas import Schema

Code = Annotated[str, msgspec.Meta(min_length=16, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]
Verifier = Annotated[
    str,
    msgspec.Meta(
        min_length=43,
        max_length=128,
        pattern=r"^[A-Za-z0-9._~-]+$",
        description="Whose SHA-256, in base64url, was the `challenge` of the start.",
    ),
]


class Redemption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code that came back in the fragment, and the secret that the page kept for itself."""

    code: Code
    verifier: Verifier


class ProviderView(Schema, frozen=True):
    """A provider that one can sign in at; a browser begins at `start_url`."""

    name: str
    title: str
    start_url: str


class ProviderList(Schema, frozen=True):
    """All providers."""

    data: tuple[ProviderView, ...]


class IdentityView(Schema, frozen=True):
    """An account as an outside issuer knows it; `provider` is null where the issuer is none that one signs in at."""

    provider: str | None
    issuer: str
    subject: str
    email: str | None
    created_at: datetime
    last_used_at: datetime | None


class IdentityList(Schema, frozen=True):
    """All identities of an account, the oldest first; there are at most 20."""

    data: tuple[IdentityView, ...]
