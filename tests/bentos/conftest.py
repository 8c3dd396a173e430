"""What the tests of detectors share: decoding processes, which take longer to start than most media to decode."""

from collections.abc import AsyncIterator

import pytest_asyncio

from bentos.media.pool import MediaPool, PoolLimits


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def media_pool() -> AsyncIterator[MediaPool]:
    """A pool of one process; tests that use it run on the loop of their module."""
    async with MediaPool(PoolLimits(processes=1)) as pool:
        yield pool
