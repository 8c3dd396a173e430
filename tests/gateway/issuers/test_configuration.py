import json
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings import GatewaySettings

SECRET = "a made-up secret that two sides share"
ISSUER = {"issuer": "https://id.example.org", "audience": "bonafide"}


def read(settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> GatewaySettings:
    """The settings with one of them from the environment, as a deployment sets it."""
    monkeypatch.setenv(name, json.dumps(value))
    others = settings.model_dump(exclude={name.removeprefix("BONAFIDE_").lower()}, exclude_none=True)
    return GatewaySettings(**others)


@pytest.mark.integration
def test_issuers_and_providers_are_read_from_the_environment(
    gateway_settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_url = ISSUER | {"jwks_url": "https://id.example.org/jwks.json"}
    by_secret = ISSUER | {"issuer": "https://other.example.org", "secret": SECRET}
    first, second = read(gateway_settings, monkeypatch, "BONAFIDE_ISSUERS", [by_url, by_secret]).issuers
    assert first.accepted == ("RS256", "ES256", "EdDSA")
    assert second.accepted == ("HS256",)
    google = {"name": "google", "issuer": "https://accounts.google.com", "client_id": "x", "client_secret": SECRET}
    (provider,) = read(gateway_settings, monkeypatch, "BONAFIDE_OIDC_PROVIDERS", [google]).oidc_providers
    assert provider.scopes == ("openid", "email", "profile")
    assert SECRET not in repr(provider)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ISSUERS", [ISSUER]),
        ("ISSUERS", [ISSUER | {"secret": "short-secret"}]),
        ("ISSUERS", [ISSUER | {"secret": SECRET, "jwks": {"keys": []}}]),
        ("ISSUERS", [ISSUER | {"secret": SECRET, "algorithms": ["RS256"]}]),
        ("ISSUERS", [ISSUER | {"jwks": {"keys": []}, "algorithms": ["HS256"]}]),
        ("ISSUERS", [ISSUER | {"jwks": {"keys": []}, "algorithms": ["none"]}]),
        ("ISSUERS", [ISSUER | {"jwks_url": "http://id.example.org/jwks.json"}]),
        ("ISSUERS", [ISSUER | {"jwks_url": "file:///etc/passwd"}]),
        ("ISSUERS", [ISSUER | {"issuer": "bonafide", "secret": SECRET}]),
        ("ISSUERS", [ISSUER | {"secret": SECRET}] * 2),
        ("ISSUERS", [ISSUER | {"secret": SECRET, "role": "super_admin"}]),
        ("OIDC_PROVIDERS", [{"name": "a/b", "issuer": "https://id.example.org", "client_id": "x"}]),
        ("OIDC_PROVIDERS", [{"name": "a", "issuer": "http://id.example.org", "client_id": "x"}]),
        ("OIDC_PROVIDERS", [{"name": "a", "issuer": "https://id.example.org", "client_id": "x"}] * 2),
        ("ORIGINS", ["https://app.example.org/"]),
        ("ORIGINS", ["app.example.org"]),
        ("ORIGINS", ["*"]),
    ],
)
def test_what_cannot_be_safe_is_refused_without_repeating_it(
    gateway_settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    with pytest.raises(ValidationError) as refused:
        read(gateway_settings, monkeypatch, f"BONAFIDE_{name}", value)
    assert "secret" not in str(refused.value).replace("jwks and secret", "").replace("needs a secret", "")
