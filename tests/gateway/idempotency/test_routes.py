"""The routes that make something take part; each is called twice, and a route that is added is asked for here."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fixtures.authenticator import Authenticator
from tests.fixtures.document import operations
from tests.fixtures.people import Person

pytestmark = pytest.mark.integration

REPEATABLE = "Done twice it leaves things as done once."
LEFT_OUT = {
    "/v1/account/password": REPEATABLE,
    "/v1/account/identities": "The code of the provider is redeemed once.",
    "/v1/account/passkeys/register": "A challenge that nobody answers is worth nothing and soon forgotten.",
    "/api/auth/passkeys/register": "A challenge that nobody answers is worth nothing and soon forgotten.",
    "/api/auth/passkeys/register/verify": "A challenge is taken once; its clients know no such header.",
    "/v1/auth/logout": REPEATABLE,
    "/v1/auth/logout-everywhere": REPEATABLE,
    "/v1/detections/{detection_id}/restore": REPEATABLE,
    "/v1/admin/users/{user_id}/suspend": REPEATABLE,
    "/v1/admin/users/{user_id}/activate": REPEATABLE,
    "/v1/uploads/{upload_id}/complete": REPEATABLE,
    "/v1/batches/{batch_id}/cancel": REPEATABLE,
    "/v1/admin/jobs/{job_id}/cancel": REPEATABLE,
    "/v1/admin/jobs/{job_id}/retry": "A job that waits already is not there to be tried again.",
    "/v1/admin/jobs/requeue-dead": "What waits already is dead no more.",
    "/v1/admin/queue/pause": REPEATABLE,
    "/v1/admin/queue/resume": REPEATABLE,
}
"""POSTs of known callers that do not take part, and why."""


def test_every_post_of_a_known_caller_takes_a_key_or_says_why_not(document: dict[str, Any]) -> None:
    left_out = {
        path
        for method, path, operation in operations(document)
        if method == "post" and operation.get("security")
        if not any(one.get("$ref", "").endswith("/IdempotencyKey") for one in operation.get("parameters", []))
    }
    assert left_out == LEFT_OUT.keys()


async def test_a_plan_is_made_once(admin: Person) -> None:
    body = {"name": "gold", "title": "Gold"}
    headers = admin.headers | {"idempotency-key": "gold-1"}
    first = await admin.http.post("/v1/admin/plans", headers=headers, json=body)
    again = await admin.http.post("/v1/admin/plans", headers=headers, json=body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert (await admin.send("POST", "/v1/admin/plans", body)).status_code == 409
    changed = await admin.http.post("/v1/admin/plans", headers=headers, json=body | {"title": "Golden"})
    assert (changed.status_code, changed.json()["code"]) == (422, "idempotency_mismatch")


async def test_a_passkey_is_added_once(person: Callable[..., Awaitable[Person]]) -> None:
    owner = await person("owner@example.org")
    options = (await owner.send("POST", "/v1/account/passkeys/register")).json()
    body = {"credential": Authenticator().create(options), "name": "Phone"}
    headers = owner.headers | {"idempotency-key": "phone-1"}
    path = "/v1/account/passkeys/register/verify"
    first = await owner.http.post(path, headers=headers, json=body)
    again = await owner.http.post(path, headers=headers, json=body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    # Without the key the challenge is spent.
    assert (await owner.http.post(path, headers=owner.headers, json=body)).status_code == 400
    assert len((await owner.get("/v1/account/passkeys")).json()["data"]) == 1
