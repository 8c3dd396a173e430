"""One provider: where to send people, and whom it says they are.

What it is able to do it tells in its discovery document, which is read when first needed and again every hour.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote_plus

import httpx
import structlog
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from gateway.accounts.identities import Person, read_person
from gateway.errors import InvalidTokenError, IssuerUnavailableError, SignInRefusedError
from gateway.issuers.configuration import PUBLIC_KEY_ALGORITHMS, check_outside_url
from gateway.issuers.fetching import Outside
from gateway.issuers.keys import RemoteKeys
from gateway.issuers.tokens import Expected, check_token
from gateway.oidc.configuration import OidcProvider

FRESH_S: Final = 3600.0
RETRY_S: Final = 10.0

_LEEWAY_S: Final = 30
_LONGEST_TOKEN: Final = 16_384
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Discovered:
    """What the discovery document says."""

    authorization_endpoint: str
    token_endpoint: str
    keys: RemoteKeys
    algorithms: tuple[str, ...]
    takes_basic: bool
    read_at: float


class Provider:
    """A provider of the settings."""

    def __init__(self, configured: OidcProvider, outside: Outside, *, redirect_uri: str) -> None:
        self.name = configured.name
        self.title = configured.title or configured.name.capitalize()
        self.issuer = configured.issuer
        self._configured = configured
        self._outside = outside
        self._redirect_uri = redirect_uri
        self._discovered: _Discovered | None = None
        self._tried_at = -float("inf")
        self._reading = asyncio.Lock()

    async def authorization_url(self, *, state: str, nonce: str, code_verifier: str) -> str:
        """Where a browser goes to sign in.

        Raises:
            IssuerUnavailableError: The provider does not answer.
        """
        found = await self._discover()
        url: str = prepare_grant_uri(
            found.authorization_endpoint,
            client_id=self._configured.client_id,
            response_type="code",
            redirect_uri=self._redirect_uri,
            scope=" ".join(self._configured.scopes),
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(code_verifier),
            code_challenge_method="S256",
        )
        return url

    async def redeem(self, code: str, *, nonce: str, code_verifier: str) -> Person:
        """Whom the provider vouches for by this code.

        Raises:
            SignInRefusedError: It does not take the code, or its ID token is not right.
            IssuerUnavailableError: It does not answer.
        """
        found = await self._discover()
        answer = await self._send(found, code, code_verifier)
        token = answer.get("id_token")
        if not isinstance(token, str) or len(token) > _LONGEST_TOKEN:
            raise SignInRefusedError
        expected = Expected(
            issuer=self.issuer,
            audience=self._configured.client_id,
            algorithms=found.algorithms,
            leeway_s=_LEEWAY_S,
        )
        try:
            claims = await check_token(token, found.keys, expected)
            self._check_claims(claims, nonce)
        except (InvalidTokenError, JoseError) as error:
            _log.warning("id_token_refused", provider=self.name, exc_info=True)
            raise SignInRefusedError from error
        return read_person(claims)

    def _check_claims(self, claims: dict[str, Any], nonce: str) -> None:
        """What an ID token has to say beyond any other token: whose answer it is, and for whom. Raises JoseError."""
        # The access token beside it is not used, so its hash is not asked for.
        params = {"client_id": self._configured.client_id, "nonce": nonce}
        CodeIDToken(claims, {}, params=params).validate(now=int(time.time()), leeway=_LEEWAY_S)

    async def _send(self, found: _Discovered, code: str, code_verifier: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": code_verifier,
        }
        client_id, secret = self._configured.client_id, self._configured.client_secret
        auth = None
        if secret is not None and found.takes_basic:
            auth = httpx.BasicAuth(quote_plus(client_id), quote_plus(secret.get_secret_value()))
        else:
            form["client_id"] = client_id
            if secret is not None:
                form["client_secret"] = secret.get_secret_value()
        request = httpx.Request("POST", found.token_endpoint, data=form, headers={"accept": "application/json"})
        status, answer = await self._outside.call(request, auth)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise IssuerUnavailableError(retry_after_s=5)
        if status != HTTPStatus.OK or answer is None:
            _log.warning("code_refused", provider=self.name, status=status, error=(answer or {}).get("error"))
            raise SignInRefusedError
        return answer

    async def _discover(self) -> _Discovered:
        """What the provider says of itself; the last that it said, while it does not answer."""
        if self._discovered is not None and self._reading.locked():
            return self._discovered
        async with self._reading:
            found, now = self._discovered, time.monotonic()
            if found is not None and now - found.read_at < FRESH_S:
                return found
            if now - self._tried_at >= RETRY_S:
                self._tried_at = now
                try:
                    self._discovered = await self._read(found)
                except IssuerUnavailableError:
                    _log.warning("provider_unavailable", provider=self.name, exc_info=True)
            if self._discovered is None:
                raise IssuerUnavailableError(retry_after_s=10)
            return self._discovered

    async def _read(self, before: _Discovered | None) -> _Discovered:
        document = await self._outside.read(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != self.issuer:
            raise IssuerUnavailableError("The provider's discovery document is about another issuer.")
        authorization, token, keys = (self._endpoint(document, name) for name in _ENDPOINTS)
        methods = document.get("token_endpoint_auth_methods_supported")
        algorithms = document.get("id_token_signing_alg_values_supported")
        if not isinstance(algorithms, list):
            algorithms = ["RS256"]
        return _Discovered(
            authorization_endpoint=authorization,
            token_endpoint=token,
            keys=before.keys if before is not None and before.keys.url == keys else RemoteKeys(keys, self._outside),
            algorithms=tuple(one for one in PUBLIC_KEY_ALGORITHMS if one in algorithms),
            takes_basic=not isinstance(methods, list) or "client_secret_basic" in methods,
            read_at=time.monotonic(),
        )

    def _endpoint(self, document: Mapping[str, Any], name: str) -> str:
        url = str(document.get(name))
        if self.issuer.startswith("https:") and not url.startswith("https:"):
            raise IssuerUnavailableError(f"The provider's {name} is not safe.")
        try:
            return check_outside_url(url)
        except ValueError as error:
            raise IssuerUnavailableError(f"The provider's {name} {error}.") from error
