"""Where a request comes from, how it came, and whether it came to the right place; the first thing asked of each.

What proxies add to a request is believed only where the peer is one of the proxies that the settings name, so that
nobody gives himself another address by sending a header.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final

from gateway.errors import InvalidHostError
from gateway.settings import GatewaySettings

_ANY: Final = "*"
_PROBES: Final = ("/health", "/health/live", "/health/ready")
"""What load balancers ask, at an address and without TLS."""

_SECURE: Final = frozenset({"https", "wss"})
_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Redirect(Exception):  # noqa: N818 - Nothing went wrong.
    """The same request is to be sent to `location`."""

    location: str


class Arrival:
    """What a deployment expects of the way to it."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._proxies: tuple[Network, ...] = tuple(ipaddress.ip_network(one) for one in settings.trusted_proxies)
        self._hosts = tuple(host.lower() for host in settings.trusted_hosts)
        self._https_only = settings.https_only
        self._hsts = f"max-age={settings.hsts_max_age_s}".encode() if settings.hsts_max_age_s else None

    def settle(self, scope: Any) -> None:
        """Put the client's own address and scheme into the scope, where a trusted proxy tells of them."""
        client = scope.get("client")
        peer = _address(client[0]) if client else None
        if peer is None:
            return
        origin, scheme = peer, scope["scheme"]
        if self._trusts(peer):
            origin = self._origin(peer, _values(scope, b"x-forwarded-for"))
            # The last one is what the proxy next to us has added.
            for told in _values(scope, b"x-forwarded-proto")[-1:]:
                scheme = _scheme(told.lower(), scope.get("type")) or scheme
        scope["client"] = (str(origin), client[1] if origin == peer else 0)
        scope["scheme"] = scheme

    def check(self, scope: Any) -> None:
        """Refuse what came to another host's name, or not by HTTPS where that is a must.

        Raises:
            InvalidHostError: The gateway has no such name.
            Redirect: It has to come by HTTPS.
        """
        if scope["path"] in _PROBES:
            return
        host = ",".join(_values(scope, b"host"))
        if not self._knows(host):
            raise InvalidHostError
        if self._https_only and scope["scheme"] not in _SECURE:
            query = scope["query_string"].decode("latin-1")
            path = scope.get("raw_path") or scope["path"].encode()
            raise Redirect(f"https://{host}{path.decode('latin-1').partition('?')[0]}{'?' if query else ''}{query}")

    def headers(self, scope: Any) -> Iterable[tuple[bytes, bytes]]:
        """`Strict-Transport-Security` where the request came by HTTPS; elsewhere it would mean nothing."""
        if self._hsts is not None and scope["scheme"] in _SECURE:
            yield b"strict-transport-security", self._hsts

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._proxies)

    def _origin(self, peer: Address, forwarded: Sequence[str]) -> Address:
        """The nearest address that is no proxy of ours, as our proxies tell it; the farthest proxy where all are."""
        origin = peer
        for told in reversed(forwarded):
            address = _address(told)
            if address is None:
                return origin
            origin = address
            if not self._trusts(origin):
                return origin
        return origin

    def _knows(self, host: str) -> bool:
        name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
        name = name.lower().rstrip(".")
        return any(
            known in {_ANY, name} or (known.startswith("*.") and name.endswith(known[1:])) for known in self._hosts
        )


def _scheme(told: str, kind: str | None) -> str | None:
    """The scheme of a request, or of a WebSocket, that a proxy tells of by either name; None where it is none."""
    if told not in _SCHEMES:
        return None
    return _SCHEMES[told] if kind == "websocket" else _SCHEMES[told].replace("ws", "http")


def _values(scope: Any, name: bytes) -> list[str]:
    """The values of a header that may be a list, and may come several times."""
    text = ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)
    return [value.strip() for value in text.split(",") if value.strip()]


def _address(text: str) -> Address | None:
    """An IP address, perhaps with a port or a zone; None where it is none. IPv4 within IPv6 is IPv4."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
