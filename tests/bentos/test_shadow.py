"""What waits for a shadow is always taken by somebody."""

import asyncio

from bentos.contract import Verdict
from bentos.deadline import Deadline
from bentos.figures import Tally
from bentos.http.calls import Call
from bentos.shadow import AT_ONCE, SealedError, Shadows


async def test_a_call_that_comes_as_the_last_ones_end_does_not_wait_for_another():
    going = asyncio.Event()

    async def hear(*_: object):
        await going.wait()
        raise SealedError

    tally = Tally(model="cnn", version=2, part="shadow")
    call = Call(medium=b"", model=None, deadline=Deadline.after(10), request_id="a", caller="a")
    shadows = Shadows(hear, lambda *_: True)
    for _ in range(AT_ONCE):
        shadows.offer(tally, call, 0.5, Verdict.UNCERTAIN)
    await asyncio.sleep(0.01)
    going.set()
    # Runs after those that wait for the same event, and before anybody is told that their tasks are done.
    asyncio.get_running_loop().call_soon(shadows.offer, tally, call, 0.5, Verdict.UNCERTAIN)
    await asyncio.sleep(0.05)
    await shadows.settled()
    assert (tally.in_flight, tally.shadow.dropped) == (0, AT_ONCE + 1)
