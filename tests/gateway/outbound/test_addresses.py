"""Which addresses may be called, in every form that one can be written in."""

from ipaddress import ip_address

import pytest

from gateway.errors import UrlNotAllowedError
from gateway.outbound.addresses import Policy, is_public

FORBIDDEN = [
    "http://127.0.0.1/",
    "http://127.8.9.10/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://192.0.0.8/",
    "http://192.0.2.1/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::]/",
    "http://[::1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/",
    "http://[fd12:3456::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[100::1]/",
    "http://[2001::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::1]/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://127.1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://127.0.0.1./",
    "http://2852039166/",
    "http://localhost/",
    "http://localhost./",
    "http://LOCALHOST/",
    "http://a.localhost/",
]
UNREADABLE = [
    "",
    "example.org",
    "ftp://example.org/",
    "file:///etc/passwd",
    "gopher://example.org/",
    "http://",
    "http:///path",
    "http://example.org:port/",
    "http://example.org:99999/",
    "http://user@example.org/",
    "http://user:secret@example.org/",
    "http://example.org\\@127.0.0.1/",
    "http://example.org/#fragment",
    "http://exa mple.org/",
    "http://example.org/\r\nHost: other",
    "http://example..org/",
    "http://example.org../",
    "http://.example.org/",
    "http://exam%70le.org/",
    "http://[::1",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://example.org/" + "a" * 2048,
]


@pytest.mark.parametrize("url", [*FORBIDDEN, *UNREADABLE])
def test_what_leads_inside_or_can_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(UrlNotAllowedError) as raised:
        Policy().target(url)
    assert raised.value.code == "url_not_allowed"


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.org/hooks?a=b", "example.org", 443),
        ("http://Example.ORG./hooks", "example.org", 80),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
        ("https://8.8.8.8/", "8.8.8.8", 443),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443),
        ("http://[::ffff:8.8.8.8]/", "::ffff:8.8.8.8", 80),
    ],
)
def test_the_public_internet_is_called(url: str, host: str, port: int) -> None:
    target = Policy().target(url)
    assert (target.host, target.port) == (host, port)


@pytest.mark.parametrize("port", [1, 22, 25, 5432, 6379, 8000, 8080, 65535])
def test_only_some_ports_are_called(port: int) -> None:
    for host in ("example.org", "8.8.8.8"):
        with pytest.raises(UrlNotAllowedError):
            Policy().target(f"https://{host}:{port}/")
    assert Policy(ports=[port]).target(f"https://example.org:{port}/").port == port


def test_https_only_refuses_the_rest() -> None:
    with pytest.raises(UrlNotAllowedError):
        Policy().target("http://example.org/", schemes=("https",))


@pytest.mark.parametrize(
    ("addresses", "passes"),
    [
        (["8.8.8.8"], True),
        (["8.8.8.8", "2606:4700::1111"], True),
        (["8.8.8.8", "10.0.0.1"], False),
        (["8.8.8.8", "::1"], False),
        (["::ffff:10.0.0.1"], False),
        ([], False),
    ],
)
def test_a_name_is_refused_if_only_one_of_its_addresses_is(addresses: list[str], passes: bool) -> None:
    policy = Policy()
    target = policy.target("https://example.org/")
    found = [ip_address(one) for one in addresses]
    if passes:
        policy.check(target, found)
    else:
        with pytest.raises(UrlNotAllowedError):
            policy.check(target, found)


def test_a_deployment_may_allow_networks_of_its_own_on_every_port() -> None:
    policy = Policy(allowed=["127.0.0.0/8", "10.1.0.0/16"])
    assert policy.target("http://127.0.0.1:9/").port == 9
    assert policy.target("http://localhost:9/").port == 9
    assert policy.target("http://[::ffff:10.1.2.3]:9/").port == 9
    for url in ("http://10.2.0.1/", "http://[::1]/", "http://169.254.169.254/", "http://8.8.8.8:9/"):
        with pytest.raises(UrlNotAllowedError):
            policy.target(url)
    # A name on another port may be one of them, which only its addresses tell.
    target = policy.target("http://hooks.internal:9/")
    policy.check(target, [ip_address("10.1.2.3")])
    for address in ("8.8.8.8", "10.2.0.1"):
        with pytest.raises(UrlNotAllowedError):
            policy.check(target, [ip_address(address)])


def test_the_edges_of_the_forbidden_networks() -> None:
    outside = ["9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "1.0.0.0"]
    inside = ["10.255.255.255", "100.127.255.255", "172.31.255.255", "0.255.255.255", "239.255.255.255"]
    assert [one for one in outside if not is_public(ip_address(one))] == []
    assert [one for one in inside if is_public(ip_address(one))] == []
