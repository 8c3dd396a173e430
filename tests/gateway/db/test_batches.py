"""Statements run together: whoever waits for one gets a result, a failure or a cancellation, and never nothing."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.db.batches import Batches
from gateway.errors import OverloadedError

DEADLINE_S = 5


async def test_whoever_waits_for_a_batch_that_is_cancelled_is_cancelled_too() -> None:
    begun = asyncio.Event()
    runner: list[asyncio.Task[object] | None] = []

    async def run(items: Sequence[int]) -> Sequence[int]:
        runner.append(asyncio.current_task())
        begun.set()
        await asyncio.Event().wait()
        return items

    batches = Batches(run)
    waiting = [asyncio.create_task(batches.put(number)) for number in range(3)]
    await begun.wait()
    waiting.append(asyncio.create_task(batches.put(3)))
    await asyncio.sleep(0)
    assert runner[0] is not None
    runner[0].cancel()
    async with asyncio.timeout(DEADLINE_S):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 4


async def test_a_batch_with_too_few_results_fails_whole_and_is_not_run_again() -> None:
    ran: list[Sequence[int]] = []

    async def run(items: Sequence[int]) -> Sequence[int]:
        ran.append(items)
        return items[1:]

    batches = Batches(run)
    async with asyncio.timeout(DEADLINE_S):
        outcomes = await asyncio.gather(*(batches.put(number) for number in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RuntimeError] * 3
    assert ran == [[0, 1, 2]]


async def test_one_item_that_fails_spoils_no_other() -> None:
    async def run(items: Sequence[int]) -> Sequence[int]:
        if 1 in items:
            raise ValueError
        return items

    batches = Batches(run)
    outcomes = await asyncio.gather(*(batches.put(number) for number in range(3)), return_exceptions=True)
    assert (outcomes[0], type(outcomes[1]), outcomes[2]) == (0, ValueError, 2)


async def test_more_than_may_wait_are_refused() -> None:
    go = asyncio.Event()

    async def run(items: Sequence[int]) -> Sequence[int]:
        await go.wait()
        return items

    batches = Batches(run, most_waiting=2)
    waiting = [asyncio.create_task(batches.put(number)) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await batches.put(2)
    go.set()
    assert await asyncio.gather(*waiting) == [0, 1]
