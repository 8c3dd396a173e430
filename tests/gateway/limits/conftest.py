"""Admission without HTTP, an account with a key, and the clock of the limits, which stands still at noon."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.db.engine import open_database
from gateway.detections.admission import Admission
from gateway.settings import GatewaySettings
from tests.fixtures.admissions import (
    Clock,
    Holder,
    make_holder,
)

NOON = datetime(2030, 6, 15, 12, tzinfo=UTC)


@pytest.fixture
async def admission(gateway_settings: GatewaySettings) -> AsyncGenerator[Admission]:
    async with open_database(gateway_settings) as database:
        yield Admission(database.pool)


@pytest.fixture
async def holder(database: Any) -> Holder:
    return await make_holder(database)


@pytest.fixture
async def clock(database: Any) -> Clock:
    clock = Clock(database)
    await clock.stop_at(NOON)
    return clock
