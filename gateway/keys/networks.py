"""The networks that a key may be used from, as they are written down: CIDR notation, without host bits."""

import ipaddress
from collections.abc import Iterable

from gateway.errors import InvalidBodyError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAPPED_BITS = 96
"""An IPv4 address inside IPv6 (`::ffff:192.0.2.1`) has this many bits before it."""


def read_networks(texts: Iterable[str]) -> list[str]:
    """Addresses and networks, each once and in order, as CIDR notation.

    Raises:
        InvalidBodyError: One of them is neither an address nor a network.
    """
    networks = {_read(text) for text in texts}
    return [str(network) for network in sorted(networks, key=lambda one: (one.version, int(one[0]), one.prefixlen))]


def within(narrow: Iterable[str], wide: Iterable[str]) -> bool:
    """Whether every address of the first networks is one of the second ones."""
    outer = [ipaddress.ip_network(text) for text in wide]
    return all(any(_inside(ipaddress.ip_network(text), one) for one in outer) for text in narrow)


def _read(text: str) -> Network:
    try:
        # An IPv6 zone (`%eth0`) means something on one machine only.
        network = ipaddress.ip_network("" if "%" in text else text, strict=False)
    except ValueError as error:
        raise InvalidBodyError(f"`{text}` is neither an IP address nor a network in CIDR notation.") from error
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.ip_network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def _inside(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)
