import pytest
from pydantic import SecretStr

from gateway.oidc.configuration import OidcProvider
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import Client
from tests.fixtures.identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider
from tests.fixtures.page import Page


@pytest.fixture
def gateway_settings(gateway_settings: GatewaySettings, identity_provider: IdentityProvider) -> GatewaySettings:
    """With a provider, under two names."""
    providers = [
        OidcProvider(
            name=name,
            issuer=identity_provider.url,
            client_id=CLIENT_ID,
            client_secret=SecretStr(CLIENT_SECRET),
        )
        for name in ("home", "other")
    ]
    return gateway_settings.model_copy(update={"oidc_providers": providers, "origins": ["https://app.example.org"]})


@pytest.fixture
def page(anonymous: Client) -> Page:
    return Page(anonymous.http)
