"""Passwords: Argon2id, off the event loop, few at a time, and the same work whether the account exists or not."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.errors import OverloadedError

SHORTEST: Final = 8
LONGEST: Final = 256
_AT_ONCE: Final = 2
"""Each hash takes 64 MiB and a core for some 90 ms."""
_MOST_WAITING: Final = 64
"""Whoever waits behind these would wait for more than three seconds."""
_RETRY_AFTER_S: Final = 5

Result = TypeVar("Result")


@cache
def _nobodys_hash() -> str:
    """What a password is held against where there is no account; made once in a process."""
    return PasswordHasher().hash("the password of nobody")


class Passwords:
    """Hashes and verifies; at most two at a time in this process, some wait their turn, more are refused."""

    def __init__(self, *, most_waiting: int = _MOST_WAITING) -> None:
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="argon2")
        self._nobodys = self._threads.submit(_nobodys_hash)
        self._room = _AT_ONCE + most_waiting

    async def hash(self, password: str) -> str:
        """Argon2id hash of a password, with its parameters and salt. Raises OverloadedError."""
        return await self._work(partial(self._hasher.hash, password))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is right. Without a hash (unknown account) the same work is done, and the answer is no.

        A password longer than any that can be set is wrong, and is not worked on at its full length.

        Raises:
            OverloadedError: Too many wait already.
        """
        candidate = password[:LONGEST]
        nobodys = await asyncio.wrap_future(self._nobodys)
        right = await self._work(partial(self._matches, password_hash or nobodys, candidate))
        return right and password_hash is not None and len(password) <= LONGEST

    def close(self) -> None:
        """Give the threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _work(self, work: Callable[[], Result]) -> Result:
        if self._room == 0:
            raise OverloadedError(retry_after_s=_RETRY_AFTER_S)
        self._room -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._room += 1

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
