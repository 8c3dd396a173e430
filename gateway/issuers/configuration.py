"""What the settings say about an outside issuer of tokens."""

import ipaddress
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from gateway.access.tokens import ISSUER

Algorithm = Literal["RS256", "ES256", "EdDSA", "HS256"]

PUBLIC_KEY_ALGORITHMS: Final[tuple[Algorithm, ...]] = ("RS256", "ES256", "EdDSA")
_SECRET_ALGORITHMS: Final[tuple[Algorithm, ...]] = ("HS256",)
_SHORTEST_SECRET: Final = 32


def check_outside_url(url: str) -> str:
    """Refuse an address whose answers somebody on the way could change.

    Plain HTTP is for this machine and for the names of a private network, which have no dots.

    Raises:
        ValueError: It is another one.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.username is not None or parts.fragment:
        raise ValueError("must have neither a user nor a fragment")
    if host and (parts.scheme == "https" or (parts.scheme == "http" and is_private_name(host))):
        return url
    raise ValueError("must be an https:// address")


def is_private_name(host: str) -> bool:
    """Whether it is this machine or a name without dots, such as that of a container."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return "." not in host


OutsideUrl = Annotated[str, AfterValidator(check_outside_url)]


class TrustedIssuer(BaseModel):
    """An issuer whose tokens are accepted: what they have to say, and what they are checked with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(min_length=1, max_length=255)
    audience: str = Field(min_length=1)
    jwks_url: OutsideUrl | None = None
    jwks: dict[str, Any] | None = None
    secret: SecretStr | None = None
    algorithms: tuple[Algorithm, ...] = ()
    leeway_s: float = Field(30, ge=0, le=300)

    @model_validator(mode="after")
    def _has_one_kind_of_key(self) -> Self:
        if sum(source is not None for source in (self.jwks_url, self.jwks, self.secret)) != 1:
            raise ValueError("needs exactly one of jwks_url, jwks and secret")
        if self.issuer == ISSUER:
            raise ValueError("is the name of our own tokens")
        if self.secret is not None and len(self.secret.get_secret_value()) < _SHORTEST_SECRET:
            raise ValueError(f"needs a secret of at least {_SHORTEST_SECRET} characters")
        # A public key must never be taken for a shared secret, so the two kinds do not mix.
        if not set(self.algorithms) <= set(self._possible):
            raise ValueError(f"can only use {', '.join(self._possible)}")
        return self

    @property
    def _possible(self) -> tuple[Algorithm, ...]:
        return PUBLIC_KEY_ALGORITHMS if self.secret is None else _SECRET_ALGORITHMS

    @property
    def accepted(self) -> tuple[Algorithm, ...]:
        """The algorithms that are accepted: those named, else all that go with the kind of key."""
        return self.algorithms or self._possible
