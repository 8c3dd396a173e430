"""Calls addresses that callers chose, and connects to nothing but what was checked.

A name is resolved here, each of its addresses is checked, and the connection goes to these addresses: a name that says
something else a moment later changes nothing. The socket checks once more what it is made for. TLS and the header Host
keep the name. There are no proxies, no cookies, no redirects that are followed, and each call has a deadline.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gateway.errors import UrlNotAllowedError
from gateway.outbound.addresses import Address, Policy, Target
from gateway.settings import GatewaySettings

Resolve = Callable[[str], Awaitable[list[Address]]]
"""The addresses of a name. Raises OSError where there are none."""

_CONNECTIONS: Final = 64
_CONNECT_S: Final = 5.0
_LOOKUPS: Final = 16
_LOOKUP_S: Final = 5.0
_PIECE: Final = 64 * 1024
_NUMERIC: Final = socket.AddressInfo.AI_NUMERICHOST | socket.AddressInfo.AI_NUMERICSERV


class OutboundError(Exception):
    """The address could not be called, or its answer broke off; the text says why in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What was answered; `body` is its beginning."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outbound:
    """Calls addresses as far as the policy lets it."""

    def __init__(self, http: aiohttp.ClientSession, policy: Policy, resolve: Resolve) -> None:
        self._http = http
        self._policy = policy
        self._resolve = resolve

    async def check(self, url: str, *, https_only: bool = False) -> None:
        """Refuse a URL that would not be called. Only its name is looked up.

        Raises:
            UrlNotAllowedError: It is not allowed, or does not resolve.
        """
        target = self._target(url, https_only=https_only)
        if target.literal is None:
            self._policy.check(target, await self._resolved(target.host))

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        deadline_s: float,
        most: int,
        https_only: bool = False,
    ) -> Reply:
        """Send a body and read `most` bytes of the answer.

        Raises:
            UrlNotAllowedError: It is not allowed; nothing was sent.
            OutboundError: It could not be called, or did not answer in time.
        """
        self._target(url, https_only=https_only)
        async with self.opened("POST", url, body=body, headers=headers, deadline_s=deadline_s) as answer:
            beginning = bytearray()
            async for piece in answer.content.iter_chunked(_PIECE):
                beginning += piece[: most - len(beginning)]
                if len(beginning) >= most:
                    break
            return Reply(status=answer.status, headers=dict(answer.headers), body=bytes(beginning))

    @asynccontextmanager
    async def opened(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        deadline_s: float,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Call a URL; its answer is read within the context, up to the deadline. A redirect is an answer as well.

        Raises:
            UrlNotAllowedError: It is not allowed; nothing was sent.
            OutboundError: It could not be called, or did not answer in time.
        """
        self._target(url)
        try:
            async with (
                asyncio.timeout(deadline_s),
                self._http.request(
                    method, URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                yield answer
        except TimeoutError as error:
            raise OutboundError(f"no answer within {deadline_s:g} s") from error
        except aiohttp.ClientError as error:
            # The connector wraps what the resolver and the socket said.
            refused = error.__cause__ if isinstance(error.__cause__, _RefusedError) else error
            if isinstance(refused, _RefusedError):
                raise UrlNotAllowedError(str(refused)) from error
            raise OutboundError(_reason(error)) from error

    def _target(self, url: str, *, https_only: bool = False) -> Target:
        target = self._policy.target(url, schemes=("https",) if https_only else ("https", "http"))
        # The two readers of the URL have to agree on where it leads.
        try:
            read = URL(url, encoded=True)
        except ValueError as error:
            raise UrlNotAllowedError("This is no URL.") from error
        host = (read.raw_host or "").lower().removesuffix(".")
        if (read.scheme, host, read.port) != (target.scheme, target.host, target.port):
            raise UrlNotAllowedError("This is no URL that means one thing.")
        return target

    async def _resolved(self, host: str) -> list[Address]:
        try:
            async with asyncio.timeout(_LOOKUP_S):
                return await self._resolve(host)
        except (OSError, TimeoutError) as error:
            raise UrlNotAllowedError("The name of the host does not resolve.") from error


class _RefusedError(OSError):
    """The address is forbidden; an OSError, for the connector lets others through as they are."""


class _CheckedResolver(AbstractResolver):
    """Answers the addresses of a name, all of them checked."""

    def __init__(self, policy: Policy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name in whichever family they are. Raises OSError."""
        del family
        async with asyncio.timeout(_LOOKUP_S):
            addresses = await self._resolve(host.lower().removesuffix("."))
        try:
            self._policy.check(Target("https", host, port, None), addresses)
        except UrlNotAllowedError as error:
            raise _RefusedError(error.message) from error
        return [
            ResolveResult(
                hostname=host,
                host=str(one),
                port=port,
                family=socket.AF_INET if isinstance(one, IPv4Address) else socket.AF_INET6,
                proto=socket.IPPROTO_TCP,
                flags=_NUMERIC,
            )
            for one in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


@asynccontextmanager
async def open_outbound(settings: GatewaySettings, *, resolve: Resolve | None = None) -> AsyncGenerator[Outbound]:
    """Open the way out for the life of the process; `resolve` takes the place of the system's resolver."""
    policy = Policy(allowed=settings.outbound_allowed_networks, ports=settings.outbound_ports)

    def connectable(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        try:
            policy.check(Target("https", address[0], address[1], None), [ip_address(address[0])])
        except UrlNotAllowedError as error:
            raise _RefusedError(error.message) from error
        return socket.socket(family, kind, protocol)

    # Threads of its own: names that take long to resolve hold up nothing else of the process.
    threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="lookup")
    try:
        lookup = resolve or _system_resolver(threads)
        connector = aiohttp.TCPConnector(
            resolver=_CheckedResolver(policy, lookup),
            use_dns_cache=False,
            socket_factory=connectable,
            limit=_CONNECTIONS,
            # Connections are not kept: the next call checks anew, and finds none that was closed meanwhile.
            force_close=True,
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            # What is compressed may be far larger than what was sent.
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("accept-encoding",),
        ) as http:
            yield Outbound(http, policy, lookup)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _system_resolver(threads: ThreadPoolExecutor) -> Resolve:
    def look_up(host: str) -> list[Address]:
        if host.rpartition(".")[2] == "localhost":
            return [IPv4Address("127.0.0.1")]
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        return [ip_address(one) for one in dict.fromkeys(str(info[4][0]) for info in found)]

    async def resolve(host: str) -> list[Address]:
        try:
            # Scoped addresses such as fe80::1%eth0 and what is no address are errors of the name.
            return await asyncio.get_running_loop().run_in_executor(threads, look_up, host)
        except ValueError as error:
            raise OSError(str(error)) from error

    return resolve


def _reason(error: BaseException) -> str:
    """What went wrong, for the owner of the address: the kind of it, and nothing of our own network."""
    if isinstance(
        error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | aiohttp.ClientSSLError
    ):
        return "the TLS connection could not be made: its certificate is not valid for the name, or TLS is not spoken"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name of the host does not resolve"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection in time"
    if isinstance(error, aiohttp.ClientConnectorError | ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError | aiohttp.ClientPayloadError):
        return "the connection broke off"
    return "the answer is not HTTP"
