from typing import Any

import psycopg
import pytest

from tests.fixtures.admissions import make_holder
from tests.fixtures.queued_jobs import fail, hand_over

pytestmark = pytest.mark.integration


async def test_a_key_that_gets_limits_has_used_what_waits(database: psycopg.AsyncConnection[Any]) -> None:
    holder = await make_holder(database)
    first = await hand_over(holder)
    await hand_over(holder)
    await holder.set_key(daily_limit=5)
    await database.execute("SELECT start_key_meter(%s, %s)", (holder.account_id, holder.key_id))
    assert (await holder.meter(holder.key_id))[1:] == (2, 20, 2)
    await fail(database, first)
    assert (await holder.meter(holder.key_id))[1:] == (1, 10, 1)
