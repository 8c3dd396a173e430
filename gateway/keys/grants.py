"""What a key may do, and whether one who makes or changes a key may give that: rules without I/O.

A key never gives more than it has. A session gives whatever its account may have.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.access.scopes import ADMIN, allows
from gateway.errors import ForbiddenError, MissingScopeError
from gateway.keys.networks import within

USUAL_PERIOD_S: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a key's own, beside those of its account; None: there is no such limit."""

    daily_limit: int | None = None
    daily_bytes: int | None = None
    burst_limit: int | None = None
    burst_period_s: int = USUAL_PERIOD_S

    @property
    def any(self) -> bool:
        """Whether there is one at all, so that the key is counted on a meter."""
        return not self.daily_limit is self.daily_bytes is self.burst_limit is None

    def exceed(self, others: "Limits") -> bool:
        """Whether these let more pass than the others, in whatever respect."""
        if _more(self.daily_limit, others.daily_limit) or _more(self.daily_bytes, others.daily_bytes):
            return True
        if _more(self.burst_limit, others.burst_limit):
            return True
        if self.burst_limit is None or others.burst_limit is None:
            return False
        return self.burst_limit * others.burst_period_s > others.burst_limit * self.burst_period_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """All that a key may: None does not restrict."""

    scopes: frozenset[str]
    allowed_addresses: tuple[str, ...] | None
    allowed_models: tuple[str, ...] | None
    limits: Limits
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Giver:
    """Who makes or changes a key: `grant` and `key_id` are those of the key it came with, None for a session."""

    is_admin: bool
    key_id: UUID | None = None
    grant: Grant | None = None


def refuse_excess(giver: Giver, grant: Grant, *, of: UUID | None) -> None:
    """Pass where the giver may give this to the key `of` (None: to a new one).

    Raises:
        MissingScopeError: It lacks one of the scopes.
        ForbiddenError: It is itself restricted to less.
    """
    if ADMIN in grant.scopes and not giver.is_admin:
        raise MissingScopeError(f"Only a super_admin may give the scope `{ADMIN}`.")
    own = giver.grant
    if own is None:
        return
    missing = sorted(scope for scope in grant.scopes if not allows(own.scopes, scope))
    if missing:
        raise MissingScopeError(f"A key cannot give what it lacks: the scope `{missing[0]}`.")
    if own.limits.any and of != giver.key_id:
        raise _beyond("A key with limits of its own cannot make, rotate or change other keys.")
    if own.limits.any and grant.limits.exceed(own.limits):
        raise _beyond("A key cannot raise its own limits.")
    if own.allowed_addresses is not None and not (
        grant.allowed_addresses is not None and within(grant.allowed_addresses, own.allowed_addresses)
    ):
        raise _beyond("A key cannot give more than it has: `allowed_addresses`.")
    if own.allowed_models is not None and not (
        grant.allowed_models is not None and set(grant.allowed_models) <= set(own.allowed_models)
    ):
        raise _beyond("A key cannot give more than it has: `allowed_models`.")
    if own.expires_at is not None and not (grant.expires_at is not None and grant.expires_at <= own.expires_at):
        raise _beyond("A key cannot give more than it has: `expires_at`.")


def _beyond(message: str) -> ForbiddenError:
    return ForbiddenError(message, code="exceeds_own_rights")


def _more(one: int | None, other: int | None) -> bool:
    """Whether the first limit lets more pass."""
    return other is not None and (one is None or one > other)
