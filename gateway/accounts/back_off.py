"""Back-off on failed sign-ins: after some free tries each one more makes the next wait twice as long, up to a cap.

A try is counted before the password is looked at, in one statement, so that many at once cannot slip through; a right
one takes its count back, and one that is refused is not counted. Tries are counted by the name that was given and by
network address. Whoever comes from an address where this account has signed in before is counted apart from all
others, so that nobody can lock an owner out by failing on purpose.
"""

import hashlib
import ipaddress
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import TooManyAttemptsError
from gateway.settings import GatewaySettings

FORGOTTEN_AFTER_S: Final = 86_400

_COUNT: Final = text(
    """
    INSERT INTO sign_in_failures AS f (subject, failures, last_failed_at)
    SELECT s, 1, clock_timestamp() FROM unnest(:subjects) s ORDER BY s
    ON CONFLICT (subject) DO UPDATE SET last_failed_at = clock_timestamp(), failures = CASE
        WHEN f.last_failed_at < clock_timestamp() - make_interval(secs => :forgotten_after_s) THEN 1
        ELSE f.failures + 1 END
    RETURNING NEW.subject, NEW.failures, extract(epoch FROM clock_timestamp() - OLD.last_failed_at)
    """
).bindparams(bindparam("subjects", type_=ARRAY(Text)), forgotten_after_s=FORGOTTEN_AFTER_S)
_TAKE_BACK: Final = text(
    """
    UPDATE sign_in_failures f SET failures = greatest(f.failures - 1, 0)
    FROM (SELECT subject FROM sign_in_failures WHERE subject = ANY (:subjects) ORDER BY subject FOR UPDATE) s
    WHERE f.subject = s.subject
    """
).bindparams(bindparam("subjects", type_=ARRAY(Text)))
_CLEAR: Final = text("DELETE FROM sign_in_failures WHERE subject = ANY (:subjects)").bindparams(
    bindparam("subjects", type_=ARRAY(Text))
)
_IPV6_NETWORK: Final = 64


@dataclass(frozen=True, slots=True)
class Subject:
    """What tries are counted by, and how many of them are free."""

    name: str
    free: int


class BackOff:
    """Counts tries and refuses those that come too soon."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._tries = settings.sign_in_tries
        self._tries_by_address = settings.sign_in_tries_by_address
        self._longest_wait_s = settings.sign_in_longest_wait_s

    def subjects(self, login: str, address: str | None, *, familiar: UUID | None = None) -> list[Subject]:
        """What a try counts for; `familiar` is the account where it has signed in from this address before."""
        if familiar is not None and address is not None:
            return [Subject(f"familiar:{familiar}:{address}", self._tries_by_address)]
        by_login = Subject(login_subject(login), self._tries)
        return [by_login, *self.of_address("address", address)]

    def of_address(self, purpose: str, address: str | None) -> list[Subject]:
        """The address alone; of IPv6 the network that one subscriber has."""
        return [] if address is None else [Subject(f"{purpose}:{_network(address)}", self._tries_by_address)]

    def of_confirmation(self, account_id: UUID) -> list[Subject]:
        """Tries of somebody who is signed in already, and might sit at another's desk."""
        return [Subject(f"confirm:{account_id}", self._tries)]

    async def count(self, connection: AsyncConnection, subjects: Sequence[Subject]) -> None:
        """Count a try. The transaction has to be rolled back where this raises, and committed before the try is made.

        Raises:
            TooManyAttemptsError: It comes too soon.
        """
        free = {subject.name: subject.free for subject in subjects}
        rows = (await connection.execute(_COUNT, {"subjects": list(free)})).all()
        left = max(
            (
                wait_s(failures - 1, free=free[name], longest_s=self._longest_wait_s) - float(since_s or 0)
                for name, failures, since_s in rows
            ),
            default=0,
        )
        if left > 0:
            raise TooManyAttemptsError(retry_after_s=math.ceil(left))

    async def take_back(self, connection: AsyncConnection, subjects: Sequence[Subject]) -> None:
        """Take back a count: the try did not fail after all."""
        await connection.execute(_TAKE_BACK, {"subjects": [subject.name for subject in subjects]})

    async def succeed(self, connection: AsyncConnection, subjects: Sequence[Subject]) -> None:
        """Forget the failures of the account; of an address, where there may be others, only this try."""
        own = [one.name for one in subjects if not one.name.startswith("address:")]
        await connection.execute(_CLEAR, {"subjects": own})
        await self.take_back(connection, [one for one in subjects if one.name not in own])


async def clear_failures(connection: AsyncConnection, logins: Sequence[str | None]) -> None:
    """Forget the failures by these names; the password has just been set anew."""
    subjects = [login_subject(login) for login in logins if login is not None]
    await connection.execute(_CLEAR, {"subjects": subjects})


def wait_s(failures: int, *, free: int, longest_s: float) -> float:
    """Seconds to wait after the last of so many failures in a row: none while they are free, then 1, 2, 4 and on."""
    if failures < free:
        return 0
    return min(longest_s, 2.0 ** min(failures - free, 62))


def login_subject(login: str) -> str:
    """The name under which tries by a login are counted; a digest, as people type passwords where names belong."""
    return f"login:{hashlib.sha256(login.lower().encode()).hexdigest()}"


def _network(address: str) -> str:
    place = ipaddress.ip_address(address)
    if isinstance(place, ipaddress.IPv6Address):
        if place.ipv4_mapped is None:
            return str(ipaddress.ip_network((place, _IPV6_NETWORK), strict=False))
        place = place.ipv4_mapped
    return str(place)
