"""Named proxies are believed; other hosts and plain HTTP are refused where the settings say so."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from bentos.contract import Modality
from gateway.app import build_app
from gateway.arrival import Arrival
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import JPEG, make_account, running_app

Asking = Callable[..., httpx.AsyncClient]
CLIENT = ("203.0.113.9", 4000)
PROXY = ("10.0.0.2", 4000)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> GatewaySettings:
    return GatewaySettings.model_validate(
        {
            "database_url": "postgresql+psycopg:///unused",
            "bento_token": "x" * 32,
            "reference_key": "x" * 32,
            "token_key": "x" * 32,
            "spool": tmp_path_factory.mktemp("spool"),
            "trusted_proxies": ["10.0.0.0/8", "fd00::/8"],
            "trusted_hosts": ["api.example.org", "*.example.net"],
        }
    )


def arrived(
    settings: GatewaySettings, peer: tuple[str, int] | None, *headers: tuple[str, str], scheme: str = "http"
) -> dict[str, Any]:
    """The scope of a request once it was settled."""
    scope = {
        "client": peer,
        "scheme": scheme,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    Arrival(settings).settle(scope)
    return scope


FORWARDED = [
    (CLIENT, ["198.51.100.7"], CLIENT[0]),
    (PROXY, [], PROXY[0]),
    (PROXY, ["198.51.100.7"], "198.51.100.7"),
    (PROXY, ["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
    (PROXY, ["6.6.6.6", "198.51.100.7"], "198.51.100.7"),
    (PROXY, ["198.51.100.7, 10.0.0.3"], "198.51.100.7"),
    (PROXY, ["10.0.0.4, 10.0.0.3"], "10.0.0.4"),
    (PROXY, ["198.51.100.7:8080"], "198.51.100.7"),
    (PROXY, ["2001:db8::1"], "2001:db8::1"),
    (PROXY, ["[2001:db8::1]:443"], "2001:db8::1"),
    (PROXY, ["::ffff:198.51.100.7"], "198.51.100.7"),
    (("::ffff:10.0.0.2", 1), ["198.51.100.7"], "198.51.100.7"),
    (("fd00::1", 1), ["198.51.100.7"], "198.51.100.7"),
    (PROXY, ["6.6.6.6, unknown"], PROXY[0]),
    (PROXY, ["6.6.6.6, unknown, 10.0.0.3"], "10.0.0.3"),
    (PROXY, [", ,"], PROXY[0]),
    (PROXY, ["\xff\x00"], PROXY[0]),
]


@pytest.mark.parametrize(("peer", "values", "expected"), FORWARDED)
def test_the_client_is_the_nearest_that_is_no_proxy_of_ours(
    settings: GatewaySettings, peer: tuple[str, int], values: list[str], expected: str
) -> None:
    scope = arrived(settings, peer, *(("x-forwarded-for", value) for value in values))
    assert scope["client"][0] == expected


@pytest.mark.parametrize(
    ("peer", "value", "expected"),
    [
        (CLIENT, "https", "http"),
        (PROXY, "https", "https"),
        (PROXY, "HTTPS", "https"),
        (PROXY, "https, http", "http"),
        (PROXY, "gopher", "http"),
        (PROXY, "", "http"),
    ],
)
def test_the_scheme_is_what_the_proxy_next_to_us_says(
    settings: GatewaySettings, peer: tuple[str, int], value: str, expected: str
) -> None:
    assert arrived(settings, peer, ("x-forwarded-proto", value))["scheme"] == expected


@pytest.mark.parametrize("peer", [None, ("", 0), ("unix:/run/socket", 0)])
def test_a_peer_without_an_address_is_left_as_it_is(settings: GatewaySettings, peer: tuple[str, int] | None) -> None:
    scope = arrived(settings, peer, ("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https"))
    assert (scope["client"], scope["scheme"]) == (peer, "http")


def test_what_is_no_network_is_refused_at_start(settings: GatewaySettings) -> None:
    with pytest.raises(ValidationError, match="trusted_proxies"):
        GatewaySettings.model_validate(settings.model_dump() | {"trusted_proxies": ["proxy.example.org"]})


@pytest.fixture(scope="module")
def asking(settings: GatewaySettings) -> Asking:
    """Makes clients of gateways that are not started: what is asked here comes no farther than the edge."""
    built: dict[str, Any] = {}

    def ask(scheme: str = "http", **changed: object) -> httpx.AsyncClient:
        name = repr(sorted(changed.items()))
        if name not in built:
            built[name] = build_app(settings.model_copy(update=changed))
        transport = httpx.ASGITransport(built[name], client=PROXY)
        return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://api.example.org")

    return ask


@pytest.mark.parametrize("host", ["api.example.org", "API.Example.org:8000", "api.example.org.", "a.b.example.net"])
async def test_a_host_that_is_named_is_served(asking: Asking, host: str) -> None:
    async with asking() as http:
        answer = await http.get("/v1/nowhere", headers={"host": host})
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize(
    "host", ["evil.example", "example.net", "api.example.org.evil.example", "[::1]:8000", "127.0.0.1", "", "a b"]
)
async def test_another_host_is_400_in_the_shape_of_the_path(asking: Asking, host: str) -> None:
    async with asking() as http:
        answer = await http.get("/v1/usage", headers={"host": host})
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "invalid_host"
        assert answer.headers["x-request-id"] == answer.json()["request_id"]
        answer = await http.get("/usage", headers={"host": host})
        assert answer.json()["error"]["code"] == "invalid_host"


@pytest.mark.parametrize("host", ["[::1]:8000", "::1", "127.0.0.1:8000", "whatever"])
async def test_any_host_is_served_by_default(asking: Asking, host: str) -> None:
    async with asking(trusted_hosts=["*"]) as http:
        answer = await http.get("/v1/nowhere", headers={"host": host})
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_plain_http_is_redirected_where_https_is_a_must(asking: Asking, method: str) -> None:
    async with asking(https_only=True) as http:
        answer = await http.request(method, "/v1/detections%20x?a=b%2F")
        assert answer.status_code == 308
        assert answer.headers["location"] == "https://api.example.org/v1/detections%20x?a=b%2F"
        assert "strict-transport-security" not in answer.headers
        assert (await http.get("/", headers={"host": "evil.example"})).status_code == 400
        forwarded = await http.get("/v1/nowhere", headers={"x-forwarded-proto": "https"})
        assert forwarded.status_code == 404


async def test_browsers_that_come_by_https_are_told_to_stay_with_it(asking: Asking) -> None:
    async with asking() as http:
        assert "strict-transport-security" not in (await http.get("/v1/nowhere")).headers
    async with asking("https") as http:
        answer = await http.get("/v1/nowhere")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
    async with asking("https", hsts_max_age_s=0) as http:
        assert "strict-transport-security" not in (await http.get("/v1/nowhere")).headers


@pytest.mark.integration
async def test_probes_are_answered_under_any_name_and_a_key_is_held_to_the_clients_own_address(
    gateway_settings: GatewaySettings, bentos: dict[Modality, Script], database: Any
) -> None:
    assert bentos
    key = await make_account(database)
    await database.execute("UPDATE api_keys SET allowed_addresses = '{198.51.100.0/24}'")
    changed = {"trusted_hosts": ["api.example.org"], "https_only": True, "trusted_proxies": ["10.0.0.0/8"]}
    app = build_app(gateway_settings.model_copy(update=changed))
    transport = httpx.ASGITransport(app, client=PROXY)
    async with running_app(app), httpx.AsyncClient(transport=transport, base_url="https://api.example.org") as http:
        probe = await http.get("http://10.0.0.9/health/ready")
        assert probe.status_code == 200
        for address, status in [("198.51.100.7", 200), ("203.0.113.9", 403)]:
            headers = {"x-api-key": key, "x-forwarded-for": address, "x-forwarded-proto": "https"}
            for answer in (
                await http.get("/v1/usage", headers=headers),
                await http.post("/v1/detections", headers=headers, files={"file": ("a", JPEG)}),
            ):
                assert answer.status_code == status, answer.text
