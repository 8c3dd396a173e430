"""How answers tell a client about its limits: the `RateLimit` and `RateLimit-Policy` fields.

Source: IETF draft-ietf-httpapi-ratelimit-headers-10. The allowance travels in the request's scope, so that every
answer of a call with a key carries it, refusals included.
"""

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
    """`RateLimit` and `RateLimit-Policy`; empty for an account without any limit."""
    policies: list[str] = []
    states: list[str] = []
    if allowance.daily_limit is not None:
        policies.append(f'"daily";q={allowance.daily_limit};w={DAY_S}')
        states.append(f'"daily";r={allowance.daily_remaining};t={allowance.seconds_to_reset}')
    if allowance.daily_bytes is not None:
        policies.append(f'"bytes";q={allowance.daily_bytes};qu="content-bytes";w={DAY_S}')
        states.append(f'"bytes";r={allowance.bytes_remaining};t={allowance.seconds_to_reset}')
    if allowance.key_daily_limit is not None:
        policies.append(f'"key-daily";q={allowance.key_daily_limit};w={DAY_S}')
        states.append(f'"key-daily";r={allowance.key_daily_remaining};t={allowance.seconds_to_reset}')
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
    if allowance.daily_limit is not None:
        headers += [
            (b"x-ratelimit-limit", str(allowance.daily_limit).encode()),
            (b"x-ratelimit-remaining", str(allowance.daily_remaining).encode()),
            (b"x-ratelimit-reset", str(int(allowance.resets_at.timestamp())).encode()),
        ]
    return headers
