"""What a key may do after a change, or when it is new: the fields that were sent, over what it had."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from gateway.access.scopes import ALL, EVERYTHING_ORDINARY, ORDINARY
from gateway.errors import InvalidBodyError
from gateway.keys.grants import USUAL_PERIOD_S, Giver, Grant, Limits
from gateway.keys.networks import read_networks
from gateway.keys.schemas import KeyChange

_LAST_YEAR: Final = 9000
"""Python knows no year after 9999, in whatever zone."""
_USUAL_SCOPES: Final = frozenset({EVERYTHING_ORDINARY})


def usual_grant(giver: Giver) -> Grant:
    """What a new key gets where nothing else is asked for: all that is ordinary, as far as its maker may give it."""
    own = giver.grant
    if own is None:
        return Grant(
            scopes=_USUAL_SCOPES, allowed_addresses=None, allowed_models=None, limits=Limits(), expires_at=None
        )
    everything = EVERYTHING_ORDINARY in own.scopes
    return Grant(
        scopes=_USUAL_SCOPES if everything else own.scopes & frozenset(ORDINARY),
        allowed_addresses=own.allowed_addresses,
        allowed_models=own.allowed_models,
        limits=Limits(),
        expires_at=own.expires_at,
    )


def changed(grant: Grant, change: KeyChange) -> Grant:
    """The grant after a change.

    Raises:
        InvalidBodyError: There is no such scope or network, a time lies in the past, or two fields contradict.
    """
    unknown = sorted(set(given(change.scopes, ())) - ALL)
    if unknown:
        raise InvalidBodyError(f"There is no scope `{unknown[0]}`.")
    scopes = frozenset(given(change.scopes, grant.scopes))
    if not scopes:
        raise InvalidBodyError("Name the `scopes`: the calling key has none that a new one gets by default.")
    addresses = given(change.allowed_addresses, grant.allowed_addresses)
    models = given(change.allowed_models, grant.allowed_models)
    return Grant(
        scopes=scopes,
        allowed_addresses=None if addresses is None else tuple(read_networks(addresses)),
        allowed_models=None if models is None else tuple(sorted(set(models))),
        limits=_changed_limits(grant.limits, change),
        expires_at=_changed_expiry(grant.expires_at, change),
    )


def given(value: Any, otherwise: Any) -> Any:
    """A field of a change where it was given."""
    return otherwise if value is msgspec.UNSET else value


def _changed_limits(limits: Limits, change: KeyChange) -> Limits:
    burst = given(change.burst_limit, limits.burst_limit)
    if burst is None and change.burst_period_s is not msgspec.UNSET:
        raise InvalidBodyError("`burst_period_s` needs a `burst_limit`.")
    usual = USUAL_PERIOD_S if burst is None else limits.burst_period_s
    return Limits(
        daily_limit=given(change.daily_limit, limits.daily_limit),
        daily_bytes=given(change.daily_bytes, limits.daily_bytes),
        burst_limit=burst,
        burst_period_s=given(change.burst_period_s, usual),
    )


def _changed_expiry(expires_at: datetime | None, change: KeyChange) -> datetime | None:
    now = datetime.now(UTC)
    if change.expires_in is not msgspec.UNSET:
        if change.expires_at is not msgspec.UNSET:
            raise InvalidBodyError("Give `expires_at` or `expires_in`, not both.")
        return now + timedelta(seconds=change.expires_in)
    if change.expires_at is msgspec.UNSET or change.expires_at is None:
        return None if change.expires_at is None else expires_at
    if change.expires_at <= now:
        raise InvalidBodyError("`expires_at` lies in the past.")
    if change.expires_at.year > _LAST_YEAR:
        raise InvalidBodyError(f"`expires_at` lies after the year {_LAST_YEAR}.")
    return change.expires_at
