"""How long a call may still take: one deadline is made when it comes in and every wait of it asks what is left."""

import time
from dataclasses import dataclass
from typing import Self

from bentos.errors import DeadlineExceededError


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, and the point from which the call is timed; both in seconds."""

    started: float
    ends: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the deadline that many seconds from now."""
        now = time.monotonic()
        return cls(started=now, ends=now + seconds)

    def remaining_s(self) -> float:
        """Return the seconds left, more than 0.

        Raises:
            DeadlineExceededError: None is left.
        """
        left = self.ends - time.monotonic()
        if left <= 0:
            raise DeadlineExceededError
        return left

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the call came in."""
        return (time.monotonic() - self.started) * 1000
