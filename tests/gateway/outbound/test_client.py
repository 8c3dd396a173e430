"""Refused means that no packet was sent; what is called is what was checked."""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.errors import UrlNotAllowedError
from gateway.outbound.addresses import Address
from gateway.outbound.client import Outbound, OutboundError, open_outbound
from gateway.settings import GatewaySettings
from tests.gateway.outbound.test_addresses import FORBIDDEN

INSIDE = ["127.0.0.0/8"]


class Listener:
    """A server on the loopback interface that counts connections and answers as it is told."""

    def __init__(
        self, answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", *, slow: bool = False
    ) -> None:
        self.answer = answer
        self.slow = slow
        self.tasks: set[asyncio.Task[Any]] = set()
        self.connections = 0
        self.heads: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self.tasks.add(task)
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
            if self.slow:
                # Until the caller has had enough of it.
                await reader.read()
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(listener: Listener, host: str = "127.0.0.1", **options: Any) -> AsyncGenerator[Listener]:
    server = await asyncio.start_server(listener.serve, host, 0, **options)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*listener.tasks), 5)


class Names:
    """A resolver that says what it is told to, one answer after the other, and notes what it was asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = [[ip_address(one) for one in answer] for answer in answers]
        self.asked: list[str] = []

    async def __call__(self, host: str) -> list[Address]:
        self.asked.append(host)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if not answer:
            raise OSError("there is no such name")
        return answer


Open = Callable[..., Awaitable[Outbound]]


@pytest.fixture
async def opened() -> AsyncGenerator[Open]:
    async with AsyncExitStack() as stack:

        async def open_one(
            names: Names | None = None, allowed: list[str] | None = None, ports: list[int] | None = None
        ) -> Outbound:
            settings = GatewaySettings.model_construct(
                outbound_allowed_networks=allowed or [], outbound_ports=ports or [80, 443]
            )
            return await stack.enter_async_context(open_outbound(settings, resolve=names))

        yield open_one


async def post(outbound: Outbound, url: str, deadline_s: float = 2, most: int = 2048) -> Any:
    return await outbound.post(url, b"{}", {"content-type": "application/json"}, deadline_s=deadline_s, most=most)


@pytest.mark.parametrize("url", FORBIDDEN)
async def test_what_is_refused_is_neither_looked_up_nor_connected_to(opened: Open, url: str) -> None:
    names = Names(["127.0.0.1"])
    outbound = await opened(names)
    with pytest.raises(UrlNotAllowedError):
        await outbound.check(url)
    with pytest.raises(UrlNotAllowedError):
        await post(outbound, url)
    assert names.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "2130706433", "hooks.example.org"])
async def test_a_listening_socket_sees_no_connection(opened: Open, host: str) -> None:
    async with listening(Listener()) as listener:
        outbound = await opened(Names(["127.0.0.1"]), ports=[listener.port])
        for call in (outbound.check, lambda url: post(outbound, url)):
            with pytest.raises(UrlNotAllowedError):
                await call(f"http://{host}:{listener.port}/")
        await asyncio.sleep(0.05)
        assert listener.connections == 0


async def test_a_name_that_leads_elsewhere_after_the_check_is_refused_as_it_is_called(opened: Open) -> None:
    async with listening(Listener()) as listener:
        names = Names(["8.8.8.8"], ["127.0.0.1"])
        outbound = await opened(names, ports=[listener.port])
        url = f"http://rebinding.example.org:{listener.port}/"
        await outbound.check(url)
        with pytest.raises(UrlNotAllowedError):
            await post(outbound, url)
        assert names.asked == ["rebinding.example.org"] * 2
        assert listener.connections == 0


async def test_the_connection_goes_to_what_was_checked_and_the_name_is_asked_once(opened: Open) -> None:
    """The second answer, which would lead elsewhere, is never asked for."""
    async with listening(Listener(), "127.0.0.2") as checked, listening(Listener(), "127.0.0.3") as other:
        names = Names(["127.0.0.2"], ["127.0.0.3"])
        outbound = await opened(names, allowed=["127.0.0.2/32"])
        reply = await post(outbound, f"http://rebinding.example.org:{checked.port}/")
        assert (reply.status, reply.body) == (200, b"ok")
        assert (checked.connections, other.connections, len(names.asked)) == (1, 0, 1)
        assert f"\r\nHost: rebinding.example.org:{checked.port}\r\n".encode() in checked.heads[0]
        # Connections are not kept: the next call asks again, and refuses.
        with pytest.raises(UrlNotAllowedError):
            await post(outbound, f"http://rebinding.example.org:{checked.port}/")
        assert (checked.connections, other.connections) == (1, 0)


async def test_a_redirect_is_an_answer_and_is_not_followed(opened: Open) -> None:
    async with listening(Listener()) as inside:
        head = f"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{inside.port}/\r\ncontent-length: 0\r\n\r\n"
        async with listening(Listener(head.encode())) as listener:
            outbound = await opened(allowed=INSIDE)
            reply = await post(outbound, f"http://127.0.0.1:{listener.port}/")
            assert reply.status == 302
            assert (listener.connections, inside.connections) == (1, 0)


async def test_of_a_large_answer_the_beginning_is_read(opened: Open) -> None:
    flood = b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n" + b"a" * 500_000
    async with listening(Listener(flood)) as listener:
        reply = await post(await opened(allowed=INSIDE), f"http://127.0.0.1:{listener.port}/", most=2048)
        assert reply.body == b"a" * 2048


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-len", id="half a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", id="half a body"),
    ],
)
async def test_a_slow_answer_ends_at_the_deadline(opened: Open, answer: bytes) -> None:
    async with listening(Listener(answer, slow=True)) as listener:
        outbound = await opened(allowed=INSIDE)
        began = time.monotonic()
        with pytest.raises(OutboundError, match=r"within 0\.3 s"):
            await post(outbound, f"http://127.0.0.1:{listener.port}/", deadline_s=0.3)
        assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"SSH-2.0-OpenSSH_9\r\n\r\n", "not HTTP"), (b"HTTP/1.1 200 OK\r\na: " + b"b" * 20_000 + b"\r\n\r\n", "not HTTP")],
)
async def test_what_is_no_http_is_said_so(opened: Open, answer: bytes, reason: str) -> None:
    async with listening(Listener(answer)) as listener:
        with pytest.raises(OutboundError, match=reason):
            await post(await opened(allowed=INSIDE), f"http://127.0.0.1:{listener.port}/")


async def test_what_cannot_be_reached_says_why_and_nothing_of_our_own_network(opened: Open) -> None:
    async with listening(Listener()) as listener:
        closed = listener.port
    outbound = await opened(Names([]), allowed=INSIDE)
    with pytest.raises(OutboundError, match=r"^the connection was refused$"):
        await post(outbound, f"http://127.0.0.1:{closed}/")
    with pytest.raises(OutboundError, match=r"^the name of the host does not resolve$"):
        await post(outbound, "http://nowhere.example.org/")
    with pytest.raises(UrlNotAllowedError, match="does not resolve"):
        await outbound.check("http://nowhere.example.org/")


async def test_proxies_of_the_environment_are_not_used(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(Listener()) as proxy, listening(Listener()) as listener:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        await post(await opened(allowed=INSIDE), f"http://127.0.0.1:{listener.port}/")
        assert (proxy.connections, listener.connections) == (0, 1)


async def test_cookies_are_not_kept_from_one_call_to_the_next(opened: Open) -> None:
    answer = b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
    async with listening(Listener(answer)) as listener:
        outbound = await opened(Names(["127.0.0.1"]), allowed=INSIDE)
        for _ in range(2):
            await post(outbound, f"http://hooks.example.org:{listener.port}/")
        assert not any(b"cookie" in head.lower() for head in listener.heads)


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS with a certificate of its own for `name`, and the file to trust it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "certificate.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = folder / "key.pem"
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, secret)
    return context, pem


async def test_tls_is_spoken_with_the_name_and_its_certificate_is_checked(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, pem = certificate(tmp_path, "hooks.example.org")
    named: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: named.append(name)
    async with listening(Listener(), ssl=context) as listener:
        outbound = await opened(Names(["127.0.0.1"]), allowed=INSIDE)
        with pytest.raises(OutboundError, match="certificate"):
            await post(outbound, f"https://hooks.example.org:{listener.port}/")
        assert named == ["hooks.example.org"]
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=str(pem)))
        assert (await post(outbound, f"https://hooks.example.org:{listener.port}/")).status == 200
        with pytest.raises(OutboundError, match="certificate"):
            await post(outbound, f"https://other.example.org:{listener.port}/")


async def test_the_socket_itself_refuses_where_the_resolver_was_wrong(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last check stands alone: whatever the connector was told to connect to."""
    async with listening(Listener()) as listener:
        outbound = await opened(Names(["8.8.8.8"]), ports=[listener.port])
        found = [
            {"hostname": "a", "host": "127.0.0.1", "port": listener.port, "family": 2, "proto": 6, "flags": 0},
        ]

        async def wrong(*_: object, **__: object) -> list[dict[str, Any]]:
            return found

        monkeypatch.setattr("gateway.outbound.client._CheckedResolver.resolve", wrong)
        with pytest.raises(UrlNotAllowedError):
            await post(outbound, f"http://hooks.example.org:{listener.port}/")
        assert listener.connections == 0


async def test_the_system_resolver_is_asked_in_threads_and_localhost_is_this_machine(opened: Open) -> None:
    async with listening(Listener()) as listener:
        outbound = await opened(allowed=INSIDE)
        assert (await post(outbound, f"http://localhost:{listener.port}/")).status == 200
        with pytest.raises(UrlNotAllowedError):
            await outbound.check("http://no-such-name.invalid/")


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://xn--bcher-kva.example/hooks?a=%2F", ["xn--bcher-kva.example"]),
        ("https://Example.ORG.:443", ["example.org"]),
        ("https://[2606:4700:0:0:0:0:0:1111]/", []),
    ],
)
async def test_what_is_public_is_allowed_in_every_way_of_writing_it(opened: Open, url: str, asked: list[str]) -> None:
    names = Names(["8.8.8.8", "2606:4700::1111"])
    await (await opened(names)).check(url, https_only=True)
    assert names.asked == asked
