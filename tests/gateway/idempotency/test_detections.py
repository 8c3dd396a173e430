"""One call under one idempotency key is one detection, charged once, however often and wherever it is sent."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from bentos.contract import ErrorBody, Modality
from gateway.detections.fakes import Script
from tests.fixtures.gateway import JPEG, WAV, Client, GatewayProcess, eventually, make_account

pytestmark = pytest.mark.integration

StartGateway = Callable[..., Awaitable[GatewayProcess]]
ROUTES = ["/v1/detections", "/predict_image", "/api/detect/image"]


async def send(
    client: Client, name: str | None = "call-1", *, data: bytes = JPEG, path: str = ROUTES[0], **fields: Any
) -> httpx.Response:
    """Send a file under an idempotency key, in the field that the route has it in."""
    field = "image" if path.endswith("/detect/image") else "file"
    headers = client.headers() | ({"idempotency-key": name} if name is not None else {})
    return await client.http.post(path, headers=headers, files={field: ("a.jpg", data)}, data=fields)


async def count(database: Any, status: str | None = None) -> int:
    query = "SELECT count(*) FROM detections WHERE status = coalesce(%s, status)"
    return (await (await database.execute(query, (status,))).fetchone())[0]


async def until_running(database: Any) -> None:
    async def running() -> bool:
        return await count(database, "running") == 1

    await eventually(running)


def code_of(answer: httpx.Response) -> str:
    body = answer.json()
    return body["code"] if "code" in body else body["error"]["code"]


@pytest.mark.parametrize("path", ROUTES)
async def test_the_same_call_again_gets_the_first_answer_and_costs_nothing(
    client: Client, bentos: dict[Modality, Script], path: str
) -> None:
    bentos[Modality.IMAGE].p_fake = 0.123456789012345
    first = await send(client, path=path)
    bentos[Modality.IMAGE].p_fake = 0.9
    again = await send(client, path=path)
    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(bentos[Modality.IMAGE].calls) == 1
    assert await client.used() == 1
    assert again.headers["ratelimit"].split(";t=")[0] == first.headers["ratelimit"].split(";t=")[0]


async def test_a_picture_of_the_camera_is_judged_once(client: Client, bentos: dict[Modality, Script]) -> None:
    body = {"image": "data:image/jpeg;base64," + base64.b64encode(JPEG).decode()}
    headers = client.headers() | {"idempotency-key": "frame-1"}
    first = await client.http.post("/api/detect/camera", headers=headers, json=body)
    again = await client.http.post("/api/detect/camera", headers=headers, json=body)
    assert first.status_code == again.status_code == 200
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["is_fake"] == first.json()["is_fake"]
    assert again.json()["confidence"] == first.json()["confidence"]
    assert len(bentos[Modality.IMAGE].calls) == 1
    assert await client.used() == 1


async def test_the_first_answer_stays_what_it_was_whatever_became_of_the_detection(
    client: Client, database: Any
) -> None:
    first = await send(client, client_reference="order 7", tags="a,b")
    await database.execute(
        "UPDATE detections SET deleted_at = now(), feedback = 'fake', feedback_note = 'no', feedback_at = now(), "
        "client_reference = 'other', tags = '{c}'"
    )
    again = await send(client, client_reference="order 7", tags="a,b")
    assert again.status_code == 200
    assert again.content == first.content


async def test_the_answer_is_there_though_the_limit_is_used_up_and_the_bento_away(
    client: Client, bentos: dict[Modality, Script], database: Any
) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 1")
    first = await send(client)
    assert first.status_code == 200
    bentos[Modality.IMAGE].refusal = (503, ErrorBody(code="overloaded", message="Later."))
    assert (await send(client, "call-2")).status_code == 429
    assert (await send(client)).content == first.content


OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("other file", {"data": JPEG + b"\x00"}),
    ("named model", {"model": "image_fake"}),
    ("other reference", {"client_reference": "order 8"}),
    ("other tags", {"tags": "a"}),
    ("reuse", {"reuse": "true"}),
    ("other route", {"path": "/predict_image"}),
]


@pytest.mark.parametrize(("other"), [other for _, other in OTHERS], ids=[name for name, _ in OTHERS])
async def test_another_call_under_the_same_key_is_422_and_costs_nothing(client: Client, other: dict[str, Any]) -> None:
    assert (await send(client)).status_code == 200
    answer = await send(client, **other)
    assert answer.status_code == 422
    assert code_of(answer) == "idempotency_mismatch"
    assert await client.used() == 1


async def test_tags_are_told_apart_by_where_one_ends(client: Client) -> None:
    assert (await send(client, tags="a,b")).status_code == 200
    assert (await send(client, tag="a,b")).status_code == 422


@pytest.mark.parametrize("path", ROUTES)
async def test_while_the_first_call_is_in_progress_the_second_is_409(
    client: Client, bentos: dict[Modality, Script], database: Any, path: str
) -> None:
    bentos[Modality.IMAGE].delay_s = 1
    first = asyncio.create_task(send(client, path=path))
    await until_running(database)
    second = await send(client, path=path)
    assert second.status_code == 409
    assert code_of(second) == "idempotency_in_progress"
    assert int(second.headers["retry-after"]) >= 1
    assert (await send(client, path=path, data=JPEG + b"\x00")).status_code == 422
    assert (await first).status_code == 200
    assert (await send(client, path=path)).content == (await first).content
    assert await client.used() == 1


@pytest.mark.parametrize(
    "refusal",
    [
        (400, ErrorBody(code="unreadable_media", message="It is damaged.")),
        (503, ErrorBody(code="overloaded", message="Later.")),
    ],
)
async def test_a_call_that_failed_frees_its_key(
    client: Client, bentos: dict[Modality, Script], database: Any, refusal: tuple[int, ErrorBody]
) -> None:
    bentos[Modality.IMAGE].refusal = refusal
    assert (await send(client)).status_code == refusal[0]
    bentos[Modality.IMAGE].refusal = None
    answer = await send(client)
    assert answer.status_code == 200
    assert "idempotency-replayed" not in answer.headers
    assert await client.used() == 1
    assert await count(database) == 2


async def test_a_call_that_was_refused_before_it_began_leaves_its_key_free(client: Client, database: Any) -> None:
    assert (await send(client, data=b"")).status_code == 400
    await database.execute("UPDATE accounts SET daily_limit = 0")
    assert (await send(client)).status_code == 429
    await database.execute("UPDATE accounts SET daily_limit = 100")
    assert (await send(client, data=JPEG + b"\x00")).status_code == 200


async def test_the_key_is_the_accounts_own(client: Client, database: Any) -> None:
    first = await send(client)
    client.key = await make_account(database, "other@example.org")
    other = await send(client)
    assert other.status_code == 200
    assert other.json()["id"] != first.json()["id"]
    assert (await send(client, data=WAV)).status_code == 422


async def test_a_key_without_the_scope_gets_no_replay(client: Client, database: Any) -> None:
    assert (await send(client)).status_code == 200
    await database.execute("UPDATE api_keys SET scopes = '{history:read}'")
    assert code_of(await send(client)) == "missing_scope"
    await database.execute("UPDATE api_keys SET scopes = '{*}', allowed_addresses = '{10.0.0.0/8}'")
    assert code_of(await send(client)) == "address_not_allowed"
    await database.execute("UPDATE api_keys SET revoked_at = now()")
    assert (await send(client)).status_code == 401


async def test_after_a_day_the_key_means_a_new_call(client: Client, database: Any) -> None:
    first = await send(client)
    kept = await (await database.execute("SELECT expires_at - created_at FROM idempotency_keys")).fetchone()
    assert kept[0].total_seconds() == pytest.approx(86_400, abs=1)
    await database.execute("UPDATE idempotency_keys SET expires_at = now()")
    second = await send(client, data=JPEG + b"\x00")
    assert second.status_code == 200
    assert second.json()["id"] != first.json()["id"]
    assert (await send(client, data=JPEG + b"\x00")).content == second.content


@pytest.mark.parametrize("name", ["", " ", "a b", "x" * 256, "\xe9", "a\x7f"])
async def test_a_name_that_is_none_is_400(client: Client, name: str) -> None:
    headers = {key.encode(): value.encode() for key, value in client.headers().items()}
    headers[b"idempotency-key"] = name.encode("latin-1")
    answer = await client.http.post(ROUTES[0], headers=headers, files={"file": ("a", JPEG)})
    assert answer.status_code == 400
    assert code_of(answer) == "invalid_idempotency_key"


async def test_two_names_are_none(client: Client) -> None:
    headers = [*client.headers().items(), ("idempotency-key", "a"), ("idempotency-key", "b")]
    answer = await client.http.post(ROUTES[0], headers=headers, files={"file": ("a", JPEG)})
    assert code_of(answer) == "invalid_idempotency_key"


async def test_identical_calls_on_several_processes_are_one_detection(
    start_gateway: StartGateway, bentos: dict[Modality, Script], database: Any
) -> None:
    key = await make_account(database)
    bentos[Modality.IMAGE].delay_s = 0.5
    gateways = await asyncio.gather(*(start_gateway(database_pool=4) for _ in range(3)))
    async with httpx.AsyncClient(timeout=30) as http:

        async def call(number: int) -> httpx.Response:
            return await http.post(
                f"{gateways[number % 3].url}/v1/detections",
                headers={"x-api-key": key, "idempotency-key": "one"},
                files={"file": ("a.jpg", JPEG)},
            )

        answers = await asyncio.gather(*(call(number) for number in range(30)))
        again = await asyncio.gather(*(call(number) for number in range(6)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(200) >= 1
    assert set(statuses) <= {200, 409}
    assert len({answer.content for answer in [*answers, *again] if answer.status_code == 200}) == 1
    assert {answer.status_code for answer in again} == {200}
    assert len(bentos[Modality.IMAGE].calls) == 1
    assert await count(database) == 1
    assert await (await database.execute("SELECT charged FROM meters")).fetchall() == [(1,)]


async def test_a_process_killed_while_the_bento_works_leaves_a_call_that_can_be_made_again(
    start_gateway: StartGateway, bentos: dict[Modality, Script], database: Any
) -> None:
    client = Client(httpx.AsyncClient(timeout=30), await make_account(database))
    bentos[Modality.IMAGE].delay_s = 2
    async with client.http:
        first = await start_gateway()
        path = f"{first.url}/v1/detections"
        caller = asyncio.create_task(send(client, path=path))
        await until_running(database)
        first.kill()
        with pytest.raises(httpx.TransportError):
            await caller
        second = await start_gateway()
        bentos[Modality.IMAGE].delay_s = 0
        path = f"{second.url}/v1/detections"
        assert (await send(client, path=path)).status_code == 409
        await database.execute("UPDATE detections SET deadline_at = now()")

        async def swept() -> bool:
            return await count(database, "failed") == 1

        await eventually(swept)
        answer = await send(client, path=path)
        assert answer.status_code == 200
        assert (await send(client, path=path)).content == answer.content
    assert await count(database, "succeeded") == 1
    assert await (await database.execute("SELECT charged, total FROM meters")).fetchall() == [(1, 1)]


async def test_a_process_killed_before_it_could_answer_is_not_asked_to_judge_twice(
    start_gateway: StartGateway, bentos: dict[Modality, Script], database: Any
) -> None:
    client = Client(httpx.AsyncClient(timeout=30), await make_account(database))
    async with client.http:
        first = await start_gateway()
        # Nobody waits for the answer any more when it comes; then the process is killed.
        bentos[Modality.IMAGE].delay_s = 0.5
        caller = asyncio.create_task(send(client, path=f"{first.url}/v1/detections"))
        await until_running(database)
        caller.cancel()

        async def settled() -> bool:
            return await count(database, "succeeded") == 1

        await eventually(settled)
        first.kill()
        second = await start_gateway()
        answer = await send(client, path=f"{second.url}/v1/detections")
        assert answer.status_code == 200
        assert answer.headers["idempotency-replayed"] == "true"
    assert len(bentos[Modality.IMAGE].calls) == 1
    assert await (await database.execute("SELECT charged, total FROM meters")).fetchall() == [(1, 1)]
