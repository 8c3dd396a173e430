"""The accounts of users whom outside issuers vouch for, met by their tokens."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

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

    Which account a user has is remembered for a minute; whether it may be used is looked up with every request.
    """

    def __init__(self, trusted: Sequence[TrustedIssuer], outside: Outside, identities: Identities) -> None:
        self._trusted = {one.issuer: (_expected(one), _keys(one, outside)) for one in trusted}
        self._identities = identities
        self._known: OrderedDict[tuple[str, str], tuple[UUID, float]] = OrderedDict()

    async def account_of(self, issuer: str, token: str) -> UUID:
        """The account of a token's subject, made on first sight.

        Raises:
            InvalidTokenError: The issuer is not trusted, or the token is not right.
            IssuerUnavailableError: The issuer's keys cannot be had right now.
        """
        found = self._trusted.get(issuer)
        if found is None:
            raise InvalidTokenError
        expected, keys = found
        claims = await check_token(token, keys, expected)
        user = (issuer, claims["sub"])
        account_id, until = self._known.get(user, (None, 0.0))
        if account_id is not None and until > time.monotonic():
            return account_id
        account_id = await self._identities.meet(read_person(claims))
        self._known[user] = (account_id, time.monotonic() + _KNOWN_FOR_S)
        self._known.move_to_end(user)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return account_id


def _expected(trusted: TrustedIssuer) -> Expected:
    return Expected(
        issuer=trusted.issuer, audience=trusted.audience, algorithms=trusted.accepted, leeway_s=trusted.leeway_s
    )


def _keys(trusted: TrustedIssuer, outside: Outside) -> KeySource | str:
    if trusted.secret is not None:
        return trusted.secret.get_secret_value()
    return Keys(trusted.jwks or {}) if trusted.jwks_url is None else RemoteKeys(trusted.jwks_url, outside)
