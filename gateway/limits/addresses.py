"""How often an address may call what anybody may call and what leaves something behind: sign-ups and begun sign-ins."""

import ipaddress
import math
from datetime import timedelta
from typing import Any, Final, LiteralString
from uuid import NAMESPACE_URL, UUID, uuid5

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from gateway.access.credentials import client_address
from gateway.db.engine import Pool
from gateway.errors import TooManyAttemptsError

_PERIOD_S: Final = 60
_HOUSEHOLD: Final = 64
"""Bits of an IPv6 address that one customer of a provider has to himself are all behind these."""

_TAKE: Final[LiteralString] = "SELECT take_slot(%(subject)s, %(limit)s, %(period_s)s)"


class AddressLimit:
    """At most `limit` such calls a minute from one address, steadily refilled, across all processes."""

    def __init__(self, pool: Pool, limit: int) -> None:
        self._pool = pool
        self._limit = limit

    async def take(self, address: str | None) -> None:
        """Count one call; calls that come from no address, through a Unix socket, are not counted.

        Raises:
            TooManyAttemptsError: There were too many.
        """
        if address is None:
            return
        parameters = {"subject": subject_of(address), "limit": self._limit, "period_s": _PERIOD_S}
        async with self._pool.connection() as database:
            row = await (await database.execute(_TAKE, parameters)).fetchone()
        wait: timedelta | None = row[0] if row else None
        if wait is not None:
            raise TooManyAttemptsError(
                "Too many calls of this kind from one address; try again later.",
                retry_after_s=max(1, math.ceil(wait.total_seconds())),
            )


def subject_of(address: str) -> UUID:
    """The meter of an address; those of one IPv6 network share theirs."""
    place = ipaddress.ip_address(address)
    network = ipaddress.ip_network((place, _HOUSEHOLD), strict=False) if place.version == 6 else place  # noqa: PLR2004
    return uuid5(NAMESPACE_URL, f"bonafide:address:{network}")


async def limit_by_address(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let an address pass only so often. Raises TooManyAttemptsError."""
    limit: AddressLimit = connection.app.state["address_limit"]
    await limit.take(client_address(connection))
