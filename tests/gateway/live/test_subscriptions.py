import asyncio
import time
from uuid import uuid4

import pytest

from gateway.live.events import JobEvent
from gateway.live.subscriptions import MOST_WAITING, Ending, Subscription


def events(first: int, last: int) -> list[JobEvent]:
    return [JobEvent(place=place, kind="progress", data="{}", final=False) for place in range(first, last + 1)]


@pytest.fixture
def asked():
    return []


def subscription(asked: list[object], after: int = 0) -> Subscription:
    return Subscription(uuid4(), after, asked.append)


async def places(reader: Subscription, count: int) -> list[int | None]:
    found = [await reader.next(0.05) for _ in range(count)]
    return [None if one is None else one.place for one in found]


async def test_events_come_once_and_in_order_however_often_they_are_offered(asked):
    reader = subscription(asked, after=1)
    reader.offer(events(1, 3))
    reader.offer(events(2, 4))
    assert await places(reader, 4) == [2, 3, 4, None]
    assert asked == []


async def test_a_slow_reader_holds_a_limited_number_and_asks_for_the_rest_once_it_has_read_them(asked):
    reader = subscription(asked)
    reader.offer(events(1, MOST_WAITING + 10))
    assert reader.behind
    assert reader.last == MOST_WAITING
    assert await places(reader, MOST_WAITING) == list(range(1, MOST_WAITING + 1))
    assert asked == [reader.job_id]
    assert not reader.behind
    reader.offer(events(MOST_WAITING + 1, MOST_WAITING + 10))
    assert await places(reader, 10) == list(range(MOST_WAITING + 1, MOST_WAITING + 11))


async def test_a_reader_may_go_back(asked):
    reader = subscription(asked)
    reader.offer(events(1, 3))
    reader.rewind(1)
    assert asked == [reader.job_id]
    reader.offer(events(1, 3))
    assert await places(reader, 3) == [2, 3, None]


async def test_an_end_wakes_whoever_waits_and_leaves_nothing_to_read(asked):
    reader = subscription(asked)
    waiting = asyncio.create_task(reader.next(30))
    await asyncio.sleep(0)
    begun = time.monotonic()
    reader.end(Ending.STOPPING)
    reader.end(Ending.GONE)
    assert await waiting is None
    assert time.monotonic() - begun < 1
    assert reader.ended is Ending.STOPPING
    reader.offer(events(1, 1))
    assert await reader.next(0.05) is None
