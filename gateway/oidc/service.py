"""Signing in at an outside provider: out to it, back from it, and what the page that asked gets for it.

No token travels in an address. The browser comes back to the page with a one-time code in the fragment, which no server
sees, and the page exchanges it together with a secret it has kept since the start: a code that somebody else began, or
caught on the way, is of no use. What the code is exchanged for, a session or a link to the account that is signed in,
is decided then.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.accounts.identities import Person
from gateway.db.tables import OidcFlow, SignInTicket, table_of
from gateway.errors import GatewayError, InvalidBodyError, NotFoundError, SignInRefusedError
from gateway.issuers.fetching import Outside
from gateway.oidc.provider import Provider
from gateway.settings import GatewaySettings

PATH: Final = "/v1/auth/oidc"
FLOW_LIFETIME: Final = timedelta(minutes=10)
CODE_LIFETIME: Final = timedelta(minutes=2)

_FLOWS: Final[Any] = table_of(OidcFlow)
_TICKETS: Final[Any] = table_of(SignInTicket)


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """Where a browser is sent to, and the cookie that it has to bring back."""

    url: str
    cookie: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """What a browser came back with: the parameters of the provider's answer."""

    state: str
    code: str | None = None
    error: str | None = None
    issuer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How it ended: the address of the page that asked, or, where none did, the person."""

    cookie: str
    return_to: str | None = None
    person: Person | None = None


class OutsideSignIn:
    """The providers of the settings, and the sign-ins that are on their way."""

    def __init__(self, engine: AsyncEngine, outside: Outside, settings: GatewaySettings) -> None:
        self._engine = engine
        self._origins = frozenset(settings.origins)
        self._base = f"{settings.public_url.rstrip('/')}{PATH}"
        self.secure_cookie = self._base.startswith("https:")
        self._providers = {
            one.name: Provider(one, outside, redirect_uri=f"{self._base}/{one.name}/callback")
            for one in settings.oidc_providers
        }

    @property
    def providers(self) -> Sequence[Provider]:
        """Where people can sign in."""
        return tuple(self._providers.values())

    def start_url(self, provider: Provider) -> str:
        """Where a browser begins."""
        return f"{self._base}/{provider.name}/start"

    def name_of(self, issuer: str) -> str | None:
        """The provider with this issuer."""
        return next((one.name for one in self._providers.values() if one.issuer == issuer), None)

    async def start(self, name: str, *, return_to: str | None, challenge: str | None) -> Departure:
        """Send a browser out.

        Args:
            name: The provider.
            return_to: The page that it shall come back to; without one the answer is given where it arrives.
            challenge: SHA-256, in base64url, of the secret that the page keeps.

        Raises:
            NotFoundError: There is no such provider.
            InvalidBodyError: The page is of an origin that is not allowed, or it sent no challenge.
            IssuerUnavailableError: The provider does not answer.
        """
        provider = self._provider(name)
        if return_to is not None:
            self._check_page(return_to)
        if (return_to is None) != (challenge is None):
            raise InvalidBodyError("`return_to` and `challenge` go together.", code="missing_challenge")
        state, secret, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(4))
        url = await provider.authorization_url(state=state, nonce=nonce, code_verifier=verifier)
        values = {
            "state_digest": _flow_digest(state, secret),
            "provider": name,
            "nonce": nonce,
            "code_verifier": verifier,
            "return_to": return_to,
            "challenge": challenge,
        }
        async with self._engine.begin() as connection:
            await connection.execute(_FLOWS.insert().values(expires_at=func.now() + FLOW_LIFETIME, **values))
        return Departure(url=url, cookie=cookie_name(state), secret=secret)

    async def finish(self, name: str, answer: Return, cookies: Mapping[str, str]) -> Arrival:
        """Take a browser back that was sent out; it works once, and only in the same browser.

        Raises:
            NotFoundError: There is no such provider.
            SignInRefusedError: It was not sent out from here, or the provider refused and no page waits to hear it.
            IssuerUnavailableError: The provider does not answer, and no page waits to hear it.
        """
        provider = self._provider(name)
        cookie = cookie_name(answer.state)
        mine = (_FLOWS.c.state_digest == _flow_digest(answer.state, cookies.get(cookie, ""))) & (
            _FLOWS.c.provider == name
        )
        columns = [_FLOWS.c[key] for key in ("nonce", "code_verifier", "return_to", "challenge")]
        taken = _FLOWS.delete().where(mine).returning(*columns, (_FLOWS.c.expires_at > func.now()).label("fresh"))
        async with self._engine.begin() as connection:
            flow = (await connection.execute(taken)).one_or_none()
        if flow is None or not flow.fresh:
            raise SignInRefusedError("This sign-in did not begin in this browser, or is over; begin anew.")
        try:
            person = await self._ask(provider, answer, flow)
        except GatewayError as error:
            if flow.return_to is None:
                raise
            return Arrival(cookie=cookie, return_to=f"{flow.return_to}#{urlencode({'error': error.code})}")
        if flow.return_to is None:
            return Arrival(cookie=cookie, person=person)
        code = await self._keep(person, flow.challenge)
        return Arrival(cookie=cookie, return_to=f"{flow.return_to}#{urlencode({'code': code})}")

    async def redeem(self, code: str, verifier: str) -> Person:
        """Whom a provider vouched for; it works once, also where it fails.

        Raises:
            SignInRefusedError: The code is not known, or the secret is not that of the page it was made for.
        """
        columns = [_TICKETS.c[key] for key in ("issuer", "subject", "email", "email_verified", "challenge")]
        digest = hashlib.sha256(code.encode()).digest()
        fresh = (_TICKETS.c.expires_at > func.now()).label("fresh")
        taken = _TICKETS.delete().where(_TICKETS.c.digest == digest).returning(*columns, fresh)
        async with self._engine.begin() as connection:
            row = (await connection.execute(taken)).one_or_none()
        if row is None or not row.fresh:
            raise SignInRefusedError("The code is not valid, or not any more.")
        if not hmac.compare_digest(create_s256_code_challenge(verifier), row.challenge):
            raise SignInRefusedError("The verifier is not that of this code.")
        return Person(issuer=row.issuer, subject=row.subject, email=row.email, email_verified=row.email_verified)

    async def _ask(self, provider: Provider, answer: Return, flow: Any) -> Person:
        if answer.issuer is not None and answer.issuer != provider.issuer:
            # Another provider's answer under this one's name (RFC 9207).
            raise SignInRefusedError
        if answer.error == "access_denied":
            raise SignInRefusedError("The user or the provider said no.", code="access_denied")
        if answer.error is not None or answer.code is None:
            raise SignInRefusedError
        return await provider.redeem(answer.code, nonce=flow.nonce, code_verifier=flow.code_verifier)

    async def _keep(self, person: Person, challenge: str) -> str:
        code = secrets.token_urlsafe(32)
        values = {
            "digest": hashlib.sha256(code.encode()).digest(),
            "issuer": person.issuer,
            "subject": person.subject,
            "email": person.email,
            "email_verified": person.email_verified,
            "challenge": challenge,
        }
        async with self._engine.begin() as connection:
            await connection.execute(_TICKETS.insert().values(expires_at=func.now() + CODE_LIFETIME, **values))
        return code

    def _provider(self, name: str) -> Provider:
        found = self._providers.get(name)
        if found is None:
            raise NotFoundError("There is no such provider.")
        return found

    def _check_page(self, url: str) -> None:
        """Refuse a page of an origin that the settings do not name."""
        # Browsers read some of what is left out here differently than this parser does.
        plain = url.isascii() and url.isprintable() and not set(url) & set(" \\#")
        parts = urlsplit(url) if plain else None
        if parts is None or f"{parts.scheme}://{parts.netloc}" not in self._origins:
            raise InvalidBodyError("`return_to` is not a page of an allowed origin.", code="origin_not_allowed")


def cookie_name(state: str) -> str:
    """The cookie of one sign-in, so that two may be on their way in one browser."""
    return f"bonafide-oidc-{hashlib.sha256(state.encode(errors='replace')).hexdigest()[:16]}"


def _flow_digest(state: str, secret: str) -> bytes:
    """What a flow is found by: the state that goes through the provider, and the secret that stays in the browser."""
    return hashlib.sha256(f"{state}|{secret}".encode(errors="replace")).digest()
