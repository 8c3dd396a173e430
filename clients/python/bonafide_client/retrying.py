"""When a call is made again, and after how long: full jitter, bounded, at the pace that the API asks for. No I/O."""

import random
from dataclasses import dataclass
from typing import Final

from bonafide_client.answers import Answer, NoAnswer
from bonafide_client.errors import ApiError, InProgressError

_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that may be others a moment later."""
_REFUSED_UNSEEN: Final = frozenset({429})
"""Statuses after which nothing can have happened, so that any call may be made again."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds that the parts of a call may take.

    `connect` bounds one attempt to connect; `send` and `answer` a stretch in which not one byte goes out or comes in;
    `verdict` stands in for `answer` where media are judged. `total` bounds the whole call: all attempts, with the
    waits between them.
    """

    connect: float = 10.0
    send: float = 60.0
    answer: float = 30.0
    verdict: float = 330.0
    total: float = 600.0


@dataclass(frozen=True)
class Retries:
    """How often a call that failed is made again, at most, and how long is waited before.

    The wait before the n-th repetition is drawn from 0 to `base` * 2^(n-1) seconds, at most `cap`, and comes on top of
    what the API asks for in `Retry-After`. Where that is more than `longest_wait` (a spent daily quota), or more than
    the call has left, the error is raised at once. A call whose first attempt is still under way is waited for as long
    as the call has time.
    """

    limit: int = 3
    base: float = 0.5
    cap: float = 8.0
    longest_wait: float = 60.0

    def delay(self, attempt: int, error: ApiError | None) -> float | None:
        """Seconds to wait after the `attempt`-th failure, from 1 on; None where it is not worth another."""
        asked = (error.retry_after if error else None) or 0.0
        if asked > self.longest_wait or (attempt > self.limit and not isinstance(error, InProgressError)):
            return None
        # The exponent is bounded, so that no float overflows however long somebody waits.
        return asked + random.uniform(0, min(self.cap, self.base * 2 ** min(attempt - 1, 32)))  # noqa: S311 - A spread.


def may_repeat(outcome: Answer | NoAnswer, error: Exception, *, repeatable: bool) -> bool:
    """Whether making a call again can help and cannot do harm.

    `repeatable` says that making it twice does no more than making it once.
    """
    if isinstance(outcome, NoAnswer):
        return repeatable or not outcome.begun
    if outcome.status in _REFUSED_UNSEEN:
        return True
    return repeatable and (outcome.status in _PASSING or isinstance(error, InProgressError))
