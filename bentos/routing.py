"""Which version of a model answers a call: pure arithmetic on the traffic table, the same in every process."""

import hashlib
from dataclasses import dataclass
from typing import Final

from bentos.cards import Route
from bentos.contract import Part

_BUCKETS: Final = 10_000
"""Shares are exact to a hundredth of a percent."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The version that answers, and the one that is asked beside it without anybody seeing its answer."""

    version: int
    shadow: int | None
    part: Part = "stable"


def choose_version(model: str, route: Route, key: str) -> Choice:
    """Return the versions for a call with this key, such as the account's or the request's id.

    The same key always lands on the same side of the canary's share, and raising the share only ever adds keys to it.
    The model's name salts the hash, so that the canaries of two models do not fall on the same callers.
    """
    version = route.stable
    part: Part = "stable"
    if route.canary is not None and bucket_of(model, key) < round(route.canary.percent * _BUCKETS / 100):
        version, part = route.canary.version, "canary"
    return Choice(version=version, shadow=None if route.shadow == version else route.shadow, part=part)


def bucket_of(model: str, key: str) -> int:
    """Return a stable number in [0, 10000) for a key, evenly spread."""
    digest = hashlib.blake2b(key.encode(), digest_size=8, salt=hashlib.blake2b(model.encode(), digest_size=16).digest())
    return int.from_bytes(digest.digest()) % _BUCKETS
