"""Whether the addresses that the platform wants are free, who has them where they are not, and which others are."""

import contextlib
import socket
from collections.abc import Mapping

import psutil

from scripts.stack.settings import HOST


def taken(addresses: Mapping[str, tuple[str, int]]) -> list[str]:
    """Return a sentence for each address, by the variable that sets its port, that cannot be listened on."""
    sentences = []
    seen: dict[int, str] = {}
    for variable, (host, port) in addresses.items():
        if port in seen:
            sentences.append(f"{variable} and {seen[port]} both name port {port}.")
        seen[port] = variable
        try:
            with socket.socket() as attempt:
                # As servers do: a port that only waits for late packets of a former one is free.
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                attempt.bind((host, port))
        except OSError as error:
            owner = _owner(port)
            by = f"in use by {owner}: stop it, or" if owner else f"not to be had ({error.strerror}):"
            sentences.append(f"Port {port} on {host} is {by} set {variable} to another.")
    return sentences


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nothing listened on a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def _owner(port: int) -> str | None:
    """Return the name and number of the process that listens on a port, where we may know."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})" if connection.pid else None
    return None
