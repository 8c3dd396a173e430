"""A verdict that the account has already is repeated where the call asks for it, and only then."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from bentos.contract import ErrorBody, Modality
from gateway.app import build_app
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import JPEG, WAV, Client, eventually, make_account, running_app

pytestmark = pytest.mark.integration


async def reuse(client: Client, data: bytes = JPEG, **options: Any) -> dict[str, Any]:
    answer = await client.detect(data, reuse="true", **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def charges(database: Any) -> tuple[int, int]:
    """What was counted against the daily limit, and what the days add up to."""
    query = "SELECT charged, (SELECT sum(charged) FROM detection_days) FROM meters"
    return await (await database.execute(query)).fetchone()


@pytest.fixture
async def charging(
    gateway_settings: GatewaySettings, bentos: dict[Modality, Script], database: Any
) -> AsyncGenerator[Client]:
    """A client of a gateway where a repeated verdict counts like any other."""
    assert bentos
    settings = gateway_settings.model_copy(update={"reuse_charge": 1})
    async with (
        running_app(build_app(settings)) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http,
    ):
        yield Client(http, await make_account(database))


async def test_the_same_medium_gets_the_same_verdict_without_being_judged_or_charged(
    client: Client, bentos: dict[Modality, Script], database: Any
) -> None:
    bentos[Modality.IMAGE].p_fake = 0.777
    first = (await client.detect(client_reference="one", tags="a")).json()
    bentos[Modality.IMAGE].p_fake = 0.1
    again = await reuse(client, name="other.jpg", client_reference="two")
    assert again["cached_from"] == first["id"]
    assert again["id"] != first["id"]
    own = {"id", "created_at", "settled_at", "filename", "client_reference", "tags", "cached_from"}
    assert {key: value for key, value in again.items() if key not in own} == {
        key: value for key, value in first.items() if key not in own
    }
    assert (again["filename"], again["client_reference"], again["tags"]) == ("other.jpg", "two", [])
    assert (await client.get(f"/v1/detections/{again['id']}")).json() == again
    assert len(bentos[Modality.IMAGE].calls) == 1
    assert await charges(database) == (1, 1)


async def test_it_may_be_charged_like_any_other(
    charging: Client, bentos: dict[Modality, Script], database: Any
) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 2")
    await charging.detect()
    assert (await reuse(charging))["cached_from"]
    assert await charges(database) == (2, 2)
    assert (await charging.detect(reuse="true")).status_code == 429
    assert len(bentos[Modality.IMAGE].calls) == 1


async def test_free_of_charge_it_is_there_though_the_limit_is_used_up(client: Client, database: Any) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 1")
    await client.detect()
    assert (await reuse(client))["cached_from"]
    assert (await client.detect()).status_code == 429


async def test_nothing_is_repeated_unasked(client: Client, bentos: dict[Modality, Script]) -> None:
    await client.detect()
    for options in ({}, {"reuse": "false"}, {"reuse": ""}):
        assert (await client.detect(**options)).json()["cached_from"] is None
    assert len(bentos[Modality.IMAGE].calls) == 4
    answer = await client.detect(reuse="yes")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")


async def test_another_accounts_verdict_is_never_repeated(client: Client, database: Any) -> None:
    await client.detect()
    client.key = await make_account(database, "other@example.org")
    assert (await reuse(client))["cached_from"] is None


NOT_THE_SAME = {
    "deleted": "UPDATE detections SET deleted_at = now()",
    "other model": "UPDATE detections SET model = 'image_other'",
    "other version": "UPDATE detections SET version = 2",
    "other weights": 'UPDATE detections SET answer = answer || \'{"digest": "sha256:1"}\'',
    "other modality": "UPDATE detections SET modality = 'video'",
}


@pytest.mark.parametrize("change", NOT_THE_SAME.values(), ids=NOT_THE_SAME.keys())
async def test_what_would_not_be_judged_the_same_today_is_not_repeated(
    client: Client, database: Any, change: str
) -> None:
    await client.detect()
    await database.execute(change)
    assert (await reuse(client))["cached_from"] is None


async def test_another_medium_or_model_is_judged(client: Client, bentos: dict[Modality, Script]) -> None:
    bentos[Modality.IMAGE].models["image_other"] = "Other"

    async def known() -> bool:
        return "image_other" in (await client.get("/v1/models")).text

    await eventually(known)
    await client.detect()
    assert (await reuse(client, JPEG + b"\x00"))["cached_from"] is None
    assert (await reuse(client, model="image_other"))["cached_from"] is None
    assert (await reuse(client, model="image_fake"))["cached_from"] is not None
    assert (await reuse(client, WAV))["cached_from"] is None
    assert len(bentos[Modality.IMAGE].calls) == 3


async def test_a_failed_detection_is_not_repeated(client: Client, bentos: dict[Modality, Script]) -> None:
    bentos[Modality.IMAGE].refusal = (400, ErrorBody(code="unreadable_media", message="No."))
    await client.detect()
    bentos[Modality.IMAGE].refusal = None
    assert (await reuse(client))["cached_from"] is None


async def test_what_is_repeated_is_the_verdict_that_was_judged(client: Client) -> None:
    first = (await client.detect()).json()
    second = await reuse(client)
    third = await reuse(client)
    assert second["cached_from"] == third["cached_from"] == first["id"]


async def test_a_key_may_not_see_a_verdict_that_it_could_not_ask_for(client: Client, database: Any) -> None:
    await client.detect()
    await database.execute("UPDATE api_keys SET scopes = '{detect:audio,history:read}'")
    answer = await client.detect(reuse="true")
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    await database.execute("UPDATE api_keys SET scopes = '{*}', allowed_models = '{image_other}'")
    answer = await client.detect(reuse="true")
    assert (answer.status_code, answer.json()["code"]) == (403, "model_not_allowed")
    await database.execute("UPDATE accounts SET status = 'suspended'")
    answer = await client.detect(reuse="true")
    assert (answer.status_code, answer.json()["code"]) == (403, "account_suspended")


async def test_contract_a_may_ask_for_it_too(client: Client, bentos: dict[Modality, Script]) -> None:
    await client.detect()
    answer = await client.detect(path="/predict_image", reuse="true")
    assert answer.status_code == 200
    assert len(bentos[Modality.IMAGE].calls) == 1
