"""The public keys of an outside issuer (JWKS, RFC 7517), fetched when needed and kept for a while.

A key that is not known makes the set be read anew, at most once in a while, so that invented key ids cannot turn this
gateway against the issuer. While the issuer is away, the keys known so far are good for an hour.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway.errors import InvalidTokenError, IssuerUnavailableError
from gateway.issuers.fetching import Outside

FRESH_S: Final = 300.0
USABLE_S: Final = 3600.0
INTERVAL_S: Final = 10.0

_SHORTEST_RSA: Final = 2048
_KINDS: Final = {"RSA": "RS256", "EC P-256": "ES256", "OKP Ed25519": "EdDSA"}

_log = structlog.stdlib.get_logger(__name__)


class KeySource(Protocol):
    """Where the keys of an issuer come from."""

    async def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK:
        """The key that a token names. Raises InvalidTokenError or IssuerUnavailableError."""
        ...


class Keys:
    """A set of public keys; shared secrets, keys for encryption and those that are too short are left out."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        listed = document.get("keys")
        self._keys = [key for one in (listed if isinstance(listed, list) else []) if (key := _read(one)) is not None]

    async def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK:
        """The key that a token names; one without a name is taken where there is only one.

        Raises:
            InvalidTokenError: There is none.
        """
        fitting = [key for key in self._keys if key.algorithm_name == algorithm and kid in {None, key.key_id}]
        if len(fitting) != 1:
            raise InvalidTokenError
        return fitting[0]


class RemoteKeys:
    """The keys at an address."""

    def __init__(self, url: str, outside: Outside, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self._outside = outside
        self._clock = clock
        self._keys = Keys({})
        self._read_at = -float("inf")
        self._tried_at = -float("inf")
        self._failed = False
        self._reading = asyncio.Lock()

    async def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK:
        """The key that a token names.

        Raises:
            InvalidTokenError: The issuer has none of this name for this algorithm.
            IssuerUnavailableError: The issuer does not answer, so nobody can tell.
        """
        if self._age() > USABLE_S:
            await self._read()
            if self._age() > USABLE_S:
                raise IssuerUnavailableError(retry_after_s=5)
        elif self._age() > FRESH_S and not self._reading.locked():
            await self._read()
        try:
            return await self._keys.find(kid, algorithm)
        except InvalidTokenError:
            await self._read()
        try:
            return await self._keys.find(kid, algorithm)
        except InvalidTokenError:
            if self._failed:
                raise IssuerUnavailableError(retry_after_s=5) from None
            raise

    def _age(self) -> float:
        return self._clock() - self._read_at

    async def _read(self) -> None:
        """Read the set anew, unless that was tried a moment ago; whoever comes meanwhile waits for the same answer."""
        async with self._reading:
            if self._clock() - self._tried_at < INTERVAL_S:
                return
            self._tried_at = self._clock()
            try:
                self._keys = Keys(await self._outside.read(self.url))
            except IssuerUnavailableError:
                self._failed = True
                _log.warning("issuer_keys_unavailable", url=self.url, exc_info=True)
            else:
                self._failed = False
                self._read_at = self._clock()


def _read(listed: Any) -> jwt.PyJWK | None:
    """One key of a set, None where it is none that is used here."""
    if not isinstance(listed, dict):
        return None
    kind = f"{listed.get('kty')} {listed.get('crv', '')}".strip()
    algorithm = _KINDS.get(kind)
    if algorithm is None or listed.get("use", "sig") != "sig" or listed.get("alg", algorithm) != algorithm:
        return None
    try:
        # Only what makes a public key of this kind is handed on; no reference in it (`x5u`) is ever followed.
        key = jwt.PyJWK(listed, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    public = key.key
    if isinstance(public, RSAPublicKey) and public.key_size < _SHORTEST_RSA:
        return None
    return key
