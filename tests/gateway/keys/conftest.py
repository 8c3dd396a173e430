"""Clients of `/v1/keys` that are signed in."""

from typing import Any

import pytest

from gateway.settings import GatewaySettings
from tests.fixtures.admissions import Holder, make_holder
from tests.fixtures.gateway import Client
from tests.fixtures.keys import Keyring, sign_in


@pytest.fixture
async def holder(database: Any) -> Holder:
    return await make_holder(database)


@pytest.fixture
async def keyring(anonymous: Client, holder: Holder, gateway_settings: GatewaySettings) -> Keyring:
    """A client that is signed in."""
    return Keyring(anonymous.http, await sign_in(holder.database, gateway_settings, holder.account_id))


@pytest.fixture
async def other(anonymous: Client, database: Any, gateway_settings: GatewaySettings) -> Keyring:
    """A client that is signed in to another account."""
    stranger = await make_holder(database)
    return Keyring(anonymous.http, await sign_in(database, gateway_settings, stranger.account_id))
