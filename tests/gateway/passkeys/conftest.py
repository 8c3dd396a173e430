import pytest

from tests.fixtures.gateway import EMAIL, Client
from tests.fixtures.passkeys import Owner, owner_of


@pytest.fixture
async def owner(anonymous: Client) -> Owner:
    return await owner_of(anonymous.http, EMAIL)
