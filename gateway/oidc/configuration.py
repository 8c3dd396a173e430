"""What the settings say about a provider that people sign in at."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from gateway.issuers.configuration import OutsideUrl


class OidcProvider(BaseModel):
    """An OpenID Connect provider; the rest is read from its discovery document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    title: str = Field("", max_length=64)
    issuer: OutsideUrl
    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = None
    scopes: tuple[str, ...] = ("openid", "email", "profile")
