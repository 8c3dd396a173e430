"""How answers tell a client about its limits: the `RateLimit` and `RateLimit-Policy` fields.

Source: IETF draft-ietf-httpapi-ratelimit-headers-10. The allowance travels in the request's scope, so that every
answer of a call with a key carries it, refusals included.
"""

import math
from collections.abc import MutableMapping
from typing import Any, Final

from gateway.limits.allowance import DAY_S, Allowance

_STATE_KEY: Final = "allowance"


def note_allowance(scope: MutableMapping[str, Any] | Any, allowance: Allowance) -> None:
    """Leave the caller's allowance with the request, for the headers of its answer; the last one noted counts."""
    scope["state"][_STATE_KEY] = allowance


def noted_allowance(scope: MutableMapping[str, Any]) -> Allowance | None:
    """The allowance left with the request, None where no key was recognised."""
    return scope.get("state", {}).get(_STATE_KEY)


def limit_headers(allowance: Allowance) -> list[tuple[bytes, bytes]]:
    """`RateLimit` and `RateLimit-Policy`, and the older `X-RateLimit-…`; empty for an account without any limit.

    The older ones hold one limit: that of the account's or the key's day which is used up first, else of the burst.
    """
    policies: list[str] = []
    states: list[str] = []
    if allowance.daily_limit is not None:
        policies.append(f'"daily";q={allowance.daily_limit};w={DAY_S}')
        states.append(f'"daily";r={allowance.daily_remaining};t={allowance.seconds_to_reset}')
    if allowance.daily_bytes is not None:
        policies.append(f'"bytes";q={allowance.daily_bytes};qu="content-bytes";w={DAY_S}')
        states.append(f'"bytes";r={allowance.bytes_remaining};t={allowance.seconds_to_reset}')
    if allowance.concurrent_limit is not None and allowance.running is not None:
        policies.append(f'"concurrent";q={allowance.concurrent_limit};qu="concurrent-requests"')
        states.append(f'"concurrent";r={max(0, allowance.concurrent_limit - allowance.running)}')
    if allowance.key_daily_limit is not None:
        policies.append(f'"key-daily";q={allowance.key_daily_limit};w={DAY_S}')
        states.append(f'"key-daily";r={allowance.key_daily_remaining};t={allowance.seconds_to_reset}')
    if allowance.key_daily_bytes is not None:
        policies.append(f'"key-bytes";q={allowance.key_daily_bytes};qu="content-bytes";w={DAY_S}')
        states.append(f'"key-bytes";r={allowance.key_bytes_remaining};t={allowance.seconds_to_reset}')
    for name, burst in (("burst", allowance.burst), ("key-burst", allowance.key_burst)):
        if burst is not None:
            policies.append(f'"{name}";q={burst.limit};w={burst.period_s}')
            states.append(f'"{name}";r={burst.remaining};t={burst.seconds_to_full}')
    if not policies:
        return []
    headers = [
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(states).encode()),
    ]
    older = _tightest(allowance)
    if older is not None:
        names = (b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset")
        headers += [(name, str(value).encode()) for name, value in zip(names, older, strict=True)]
    return headers


def _tightest(allowance: Allowance) -> tuple[int, int, int] | None:
    """Limit, what is left of it, and when it is whole again (in Unix time)."""
    tomorrow = int(allowance.resets_at.timestamp())
    days = [
        (left, limit)
        for limit, left in (
            (allowance.daily_limit, allowance.daily_remaining),
            (allowance.key_daily_limit, allowance.key_daily_remaining),
        )
        if limit is not None and left is not None
    ]
    if days:
        left, limit = min(days)
        return limit, left, tomorrow
    bursts = [burst for burst in (allowance.burst, allowance.key_burst) if burst is not None]
    if not bursts:
        return None
    burst = min(bursts, key=lambda one: one.remaining)
    return burst.limit, burst.remaining, math.ceil(allowance.now.timestamp()) + burst.seconds_to_full
