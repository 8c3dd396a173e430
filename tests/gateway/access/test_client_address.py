from types import SimpleNamespace
from typing import Any

import pytest

from gateway.access.credentials import client_address


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.1", 5000), "192.0.2.1"),
        (("::ffff:192.0.2.1", 5000), "192.0.2.1"),
        (("2001:DB8::1", 5000), "2001:db8::1"),
        (("fe80::1%eth0", 5000), "fe80::1"),
        (("/run/socket", 0), None),
        (("", 0), None),
        (None, None),
    ],
    ids=str,
)
def test_the_address_of_the_peer_is_plain(client: Any, address: str | None) -> None:
    connection: Any = SimpleNamespace(scope={"client": client})
    assert client_address(connection) == address
