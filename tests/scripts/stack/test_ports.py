import os
import socket

import pytest

from scripts.stack.ports import free_ports, taken

HOST = "127.0.0.1"


def test_free_ports_are_no_complaint() -> None:
    first, second = free_ports(2)

    assert taken({"A": (HOST, first), "B": (HOST, second)}) == []


def test_a_port_in_use_is_named_with_its_owner_and_its_setting() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]

        (sentence,) = taken({"BONAFIDE_GATEWAY_PORT": (HOST, port)})

    assert str(port) in sentence
    assert f"process {os.getpid()}" in sentence
    assert "set BONAFIDE_GATEWAY_PORT" in sentence


def test_a_port_wanted_twice_is_a_complaint() -> None:
    (port,) = free_ports(1)

    assert taken({"A": (HOST, port), "B": (HOST, port)}) == [f"B and A both name port {port}."]


@pytest.mark.parametrize("host", ["192.0.2.1"])
def test_an_address_that_is_not_ours_is_a_complaint(host: str) -> None:
    (sentence,) = taken({"BONAFIDE_GATEWAY_PORT": (host, free_ports(1)[0])})

    assert f"on {host} is not to be had" in sentence
