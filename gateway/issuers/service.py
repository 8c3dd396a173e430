"""The accounts of users whom outside issuers vouch for, met by their tokens."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from gateway.accounts.identities import Identities, read_person
from gateway.errors import InvalidTokenError
from gateway.issuers.configuration import TrustedIssuer
from gateway.issuers.fetching import Outside
from gateway.issuers.keys import Keys, KeySource, RemoteKeys
from gateway.issuers.tokens import Expected, check_token

_KNOWN: Final = 10_000
_KNOWN_FOR_S: Final = 60.0


class TrustedIssuers:
    """The issuers that the settings name; any other is refused.

    Whom they have vouched for lately is remembered for a minute, in which nobody is made an account again; which one
    they have, and whether it may be used, is looked up with every request.
    """

    def __init__(self, trusted: Sequence[TrustedIssuer], outside: Outside, identities: Identities) -> None:
        self._trusted = {one.issuer: (_expected(one), _keys(one, outside)) for one in trusted}
        self._identities = identities
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def subject_of(self, issuer: str, token: str) -> str:
        """A token's subject, who is made an account on first sight.

        Raises:
            InvalidTokenError: The issuer is not trusted, or the token is not right.
            IssuerUnavailableError: The issuer's keys cannot be had right now.
        """
        found = self._trusted.get(issuer)
        if found is None:
            raise InvalidTokenError
        expected, keys = found
        claims = await check_token(token, keys, expected)
        subject: str = claims["sub"]
        user = (issuer, subject)
        if self._known.get(user, 0.0) > time.monotonic():
            return subject
        await self._identities.meet(read_person(claims))
        self._known[user] = time.monotonic() + _KNOWN_FOR_S
        self._known.move_to_end(user)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return subject


def _expected(trusted: TrustedIssuer) -> Expected:
    return Expected(
        issuer=trusted.issuer, audience=trusted.audience, algorithms=trusted.accepted, leeway_s=trusted.leeway_s
    )


def _keys(trusted: TrustedIssuer, outside: Outside) -> KeySource | str:
    if trusted.secret is not None:
        return trusted.secret.get_secret_value()
    return Keys(trusted.jwks or {}) if trusted.jwks_url is None else RemoteKeys(trusted.jwks_url, outside)
