"""Whether the addresses that the platform wants are free, who has them where they are not, and which others are."""

import contextlib
import errno
import itertools
import random
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from scripts.stack.settings import HOST

_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_FREE: Final = 10_240
_HIGHEST: Final = 32_768
_SPAN: Final = 20_000

_given: set[int] = set()


def taken(addresses: Mapping[str, tuple[str, int]]) -> list[str]:
    """Return a sentence for each address, by the variable that sets its port, that cannot be listened on."""
    sentences = []
    seen: dict[int, str] = {}
    for variable, (host, port) in addresses.items():
        if port in seen:
            sentences.append(f"{variable} and {seen[port]} both name port {port}.")
        seen[port] = variable
        error = _problem(host, port)
        if error is not None:
            owner = _owner(port)
            by = f"in use by {owner}: stop it, or" if owner else f"not to be had ({error.strerror}):"
            sentences.append(f"Port {port} on {host} is {by} set {variable} to another.")
    return sentences


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nobody listens on, all different, and none given before.

    They are below those that the system gives to outgoing connections: one of these may be gone again by the time that
    a server listens on it.

    Raises:
        OSError: There are none.
    """
    lowest = _lowest_ephemeral()
    candidates = range(max(_LOWEST_FREE, lowest - _SPAN), lowest) or range(_LOWEST_FREE, _HIGHEST)
    found: list[int] = []
    for _ in range(count):
        # Each from a place of its own: who looks for several at the same time hardly ever meets others who do.
        first = random.SystemRandom().randrange(len(candidates))
        for port in itertools.chain(candidates[first:], candidates[:first]):
            if port not in _given and _problem(HOST, port) is None:
                break
        else:
            raise OSError(errno.EADDRINUSE, f"no {count} ports are free")
        _given.add(port)
        found.append(port)
    return found


def free_port() -> int:
    """Return one port as `free_ports` does."""
    [port] = free_ports(1)
    return port


def _problem(host: str, port: int) -> OSError | None:
    """Return why a port cannot be listened on; None where it can be."""
    try:
        with socket.socket() as attempt:
            # As servers do: a port that only waits for late packets of a former one is free.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind((host, port))
    except OSError as error:
        return error
    return None


def _lowest_ephemeral() -> int:
    """Return the lowest port that the system gives to outgoing connections."""
    try:
        return int(_EPHEMERAL.read_text(encoding="ascii").split()[0])
    except OSError:
        return _HIGHEST


def _owner(port: int) -> str | None:
    """Return the name and number of the process that listens on a port, where we may know."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})" if connection.pid else None
    return None
