"""Statements that many requests want at the same time, run together: one round trip and one commit for all of them.

While a batch is under way, what comes in waits and makes up the next one; a lone request waits for nobody. Under load
this turns one commit for each request into one for many, and the row locks of a busy account are taken once a batch.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import psycopg

from gateway.errors import OverloadedError

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_AT_ONCE = 64
_RETRY_AFTER_S = 2


class Batches(Generic[Item, Result]):
    """Runs items through `run`, which answers one result for each item, in their order, or fails as a whole.

    `most_waiting`: more are refused; None where whoever brings the items limits them already.
    """

    def __init__(
        self, run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], *, most_waiting: int | None = None
    ) -> None:
        self._run = run
        self._most_waiting = most_waiting
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._runner: asyncio.Task[None] | None = None

    async def put(self, item: Item) -> Result:
        """The result for one item.

        Raises:
            OverloadedError: Too many wait already.
            CancelledError: What runs the batches was cancelled.
            Exception: What `run` raised for this item.
        """
        if self._most_waiting is not None and len(self._waiting) >= self._most_waiting:
            raise OverloadedError(retry_after_s=_RETRY_AFTER_S)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run_all())
        return await future

    async def _run_all(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_MOST_AT_ONCE, len(self._waiting)))]
                await self._run_batch(batch)
        finally:
            self._runner = None
            while self._waiting:
                self._waiting.popleft()[1].cancel()

    async def _run_batch(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._run([item for item, _ in batch])
        except psycopg.OperationalError as error:
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - It is handed to whoever waits.
            if len(batch) == 1:
                _fail(batch, error)
                return
            # One item spoilt the transaction for all; each gets its own.
            for one in batch:
                await self._run_batch([one])
        else:
            if len(results) != len(batch):
                # Whatever it did is done; it is not run again.
                _fail(batch, RuntimeError(f"{len(batch)} items came to {len(results)} results."))
                return
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        finally:
            # Nobody waits for ever, whatever ended this; those that have their result are left alone.
            for _, future in batch:
                future.cancel()


def _fail(batch: Sequence[tuple[Item, asyncio.Future[Result]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
