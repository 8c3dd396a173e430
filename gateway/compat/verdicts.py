"""Verdicts for clients that know two answers only. Pure."""

from typing import Final

_SPOOF_FROM: Final = 0.5


def is_fake(p_fake: float) -> bool:
    """The two-way decision: this p_fake and above is a forgery."""
    return p_fake >= _SPOOF_FROM
