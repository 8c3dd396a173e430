"""Bounds on what one endpoint, and all endpoints of one account, may have under way in a worker at once."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

MOST_OF_ENDPOINT: Final = 6
"""Tries to one endpoint, so that one that is slow leaves room to the account's others."""
MOST_OF_ACCOUNT: Final = 8
"""Tries to all endpoints of one account: half of a worker's places, so that nobody's receivers hold up the others'."""


class Places:
    """Counts what is under way."""

    def __init__(self) -> None:
        self._taken: Counter[UUID] = Counter()

    @contextmanager
    def one(self, *, endpoint: UUID, account: UUID) -> Generator[bool]:
        """Whether one more try may be under way; it is within the context where it may."""
        if self._taken[endpoint] >= MOST_OF_ENDPOINT or self._taken[account] >= MOST_OF_ACCOUNT:
            yield False
            return
        self._taken.update((endpoint, account))
        try:
            yield True
        finally:
            self._taken.subtract((endpoint, account))
            # Forgets whoever has nothing under way.
            self._taken = +self._taken
