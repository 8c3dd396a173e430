"""Passwords: Argon2id, off the event loop, few at a time, and the same work whether the account exists or not."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST: Final = 8
LONGEST: Final = 256
_AT_ONCE: Final = 2
"""Each hash takes 64 MiB and a core for some 90 ms."""


class Passwords:
    """Hashes and verifies; at most two at a time in this process, the others wait their turn."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="argon2")
        self._nobodys = self._threads.submit(self._hasher.hash, "the password of nobody")

    async def hash(self, password: str) -> str:
        """Argon2id hash of a password, with its parameters and salt."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is right. Without a hash (unknown account) the same work is done, and the answer is no.

        A password longer than any that can be set is wrong, and is not worked on at its full length.
        """
        candidate = password[:LONGEST]
        nobodys = await asyncio.wrap_future(self._nobodys)
        right = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._matches, password_hash or nobodys, candidate
        )
        return right and password_hash is not None and len(password) <= LONGEST

    def close(self) -> None:
        """Give the threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
