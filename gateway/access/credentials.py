"""What a request proves who it comes from with: an API key, an access token of ours, or one of an outside issuer."""

import ipaddress
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

from litestar.connection import ASGIConnection

from gateway.access.tokens import ISSUER, read_access_token, signed_in_at, unverified_issuer
from gateway.errors import InvalidTokenError, MissingKeyError
from gateway.keys.secrets import MARK, digest_key

_BEARER: Final = "bearer "
_LONGEST: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Exactly one of three is set: SHA-256 of a key, a session, or a subject that an outside issuer vouches for."""

    key_digest: bytes | None = None
    session_id: UUID | None = None
    issuer: str | None = None
    subject: str | None = None
    address: str | None = None
    signed_in_at: float | None = None
    """When an outside issuer saw its user, in seconds since 1970, as far as its token says so."""


class Issuers(Protocol):
    """The outside issuers whose tokens are accepted."""

    async def subject_of(self, issuer: str, token: str) -> str:
        """A token's subject, who is made an account on first sight. Raises InvalidTokenError or UnavailableError."""
        ...


class CredentialReader:
    """Reads credentials; the database is not asked, except where an outside issuer's user is met."""

    def __init__(self, token_key: str, issuers: Issuers) -> None:
        self._token_key = token_key
        self._issuers = issuers

    async def read(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Credentials:
        """Credentials of a request, from `x-api-key`, `Authorization: Bearer` or a WebSocket's subprotocol.

        Raises:
            MissingKeyError: It carries none.
            InvalidKeyError: It is no key of ours, or it was mistyped.
            InvalidTokenError: It is no token that is accepted here.
        """
        address = client_address(connection)
        secret = (connection.headers.get("x-api-key") or "").strip()
        if secret:
            return Credentials(key_digest=digest_key(secret), address=address)
        authorization = connection.headers.get("authorization") or _subprotocol(connection)
        if not authorization.lower().startswith(_BEARER):
            raise MissingKeyError
        secret = authorization[len(_BEARER) :].strip()
        if secret.startswith(MARK) or secret.count(".") != 2:  # noqa: PLR2004 - A JWT has three parts.
            return Credentials(key_digest=digest_key(secret), address=address)
        if len(secret) > _LONGEST:
            raise InvalidTokenError
        issuer = unverified_issuer(secret)
        if issuer is not None and issuer != ISSUER:
            subject = await self._issuers.subject_of(issuer, secret)
            return Credentials(issuer=issuer, subject=subject, address=address, signed_in_at=signed_in_at(secret))
        return Credentials(session_id=read_access_token(secret, key=self._token_key).session_id, address=address)


def _subprotocol(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """What the page of a browser, which cannot send headers, opens a WebSocket with: `bearer, <token>`."""
    offered = connection.scope.get("subprotocols") or ()
    match list(offered):
        case ["bearer", str(secret)]:
            return f"{_BEARER}{secret}"
        case _:
            return ""


def client_address(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """IP address of the peer, None where the server names none (a Unix socket) or no address.

    Behind a proxy that `BONAFIDE_TRUSTED_PROXIES` names, the edge has already put the client's own here.
    """
    client = connection.scope.get("client")
    if not client:
        return None
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return None
    # A socket for both families names an IPv4 peer by an address of IPv6 that holds it.
    return str((address.version == 6 and address.ipv4_mapped) or address)  # noqa: PLR2004 - The version of the protocol.
