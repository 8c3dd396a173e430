"""Which addresses may be called at all: pure, so that every form of a forbidden one can be tried.

Written in every way that a system's resolver reads: what counts is the address that would be connected to, and the IPv4
address within where it only wraps one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

from gateway.errors import UrlNotAllowedError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL: Final = 2048

_PORTS: Final = {"http": 80, "https": 443}
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_NEVER: Final[tuple[Network, ...]] = (
    # "This network", reserved for protocols and measurements, the relays of 6to4, and what is not given out.
    IPv4Network("0.0.0.0/8"),
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("198.18.0.0/15"),
    IPv4Network("240.0.0.0/4"),
    # Protocol assignments with Teredo and ORCHID, and what is written in books.
    IPv6Network("2001::/23"),
    IPv6Network("2001:db8::/32"),
    IPv6Network("3fff::/20"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an address of the web leads: `host` as it is resolved, in lower case and without brackets or a last dot."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    literal: Address | None
    """The address where the host is one; None where it is a name."""


class Policy:
    """What may be called: global unicast addresses on some ports, and whatever lies in the `allowed` networks."""

    def __init__(self, *, allowed: Sequence[str] = (), ports: Sequence[int] = tuple(_PORTS.values())) -> None:
        self._allowed: tuple[Network, ...] = tuple(ip_network(one) for one in allowed)
        self._ports = frozenset(ports)

    def target(self, url: str, *, schemes: Sequence[str] = ("https", "http")) -> Target:
        """Read a URL, and refuse what can be refused by reading it.

        Raises:
            UrlNotAllowedError: It is none of these schemes, carries a user, names no host in a form that means one
                thing, or one that is forbidden.
        """
        target = read_target(url, schemes)
        if target.literal is not None:
            self.check(target, [target.literal])
        elif not self._allowed and target.port not in self._ports:
            raise UrlNotAllowedError(f"Port {target.port} may not be called.")
        return target

    def check(self, target: Target, addresses: Sequence[Address]) -> None:
        """Refuse a target whose host resolved to these addresses, if only one of them is forbidden.

        Raises:
            UrlNotAllowedError: One is, or there is none, or the port is none that is called out there.
        """
        if not addresses:
            raise UrlNotAllowedError("The name of the host does not resolve.")
        if all(self._is_allowed(one) for one in addresses):
            return
        # Which address it was is not said: it would tell what internal names resolve to.
        if not all(is_public(one) or self._is_allowed(one) for one in addresses):
            raise UrlNotAllowedError("The host is not on the public internet.")
        if target.port not in self._ports:
            raise UrlNotAllowedError(f"Port {target.port} may not be called.")

    def _is_allowed(self, address: Address) -> bool:
        inner = embedded(address) or address
        return any(inner in network for network in self._allowed if network.version == inner.version)


def read_target(url: str, schemes: Sequence[str]) -> Target:
    """The target of a URL. Raises UrlNotAllowedError."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise UrlNotAllowedError("The URL is too long, or holds what a URL may not hold.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UrlNotAllowedError("This is no URL.") from error
    if parts.scheme not in schemes:
        raise UrlNotAllowedError(f"The URL has to begin with {' or '.join(f'{one}://' for one in schemes)}.")
    if "@" in parts.netloc or parts.fragment:
        raise UrlNotAllowedError("The URL may hold neither a user nor a fragment.")
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    host, literal = _read_host(parts)
    return Target(scheme, host, _PORTS[scheme] if port is None else port, literal)


def _read_host(parts: SplitResult) -> tuple[str, Address | None]:
    host = (parts.hostname or "").removesuffix(".")
    if not host or "%" in host:
        raise UrlNotAllowedError("The URL names no host.")
    try:
        return host, ip_address(host)
    except ValueError:
        pass
    labels = host.split(".")
    # 2130706433, 0x7f.1, 017700000001 and the like: resolvers read them as addresses, each in its own way.
    if labels[-1].isdigit() or labels[-1].startswith("0x"):
        raise UrlNotAllowedError("Write the address of the host as four numbers, or use its name.")
    if any(not label or not all(one.isalnum() or one in "-_" for one in label) for label in labels):
        raise UrlNotAllowedError("The URL names no host.")
    if host == "localhost" or labels[-1] == "localhost":
        # A resolver may say anything of it; it always means this machine.
        return host, IPv4Address("127.0.0.1")
    return host, None


def embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, or reached through 6to4 or NAT64; else None."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def is_public(address: Address) -> bool:
    """Whether an address is one machine's on the public internet, whatever it is wrapped in."""
    inner = embedded(address)
    if inner is not None:
        return is_public(inner)
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return False
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return not any(address in network for network in _NEVER if network.version == address.version)
