"""What holds for every route, read from the OpenAPI document: a route that is added is swept by itself."""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.fixtures.authenticator import Authenticator
from tests.fixtures.document import METHODS, operations
from tests.fixtures.gateway import JPEG, PASSWORD
from tests.fixtures.people import Person

pytestmark = pytest.mark.integration

MakePerson = Callable[..., Awaitable[Person]]
ADMIN = ("/v1/admin", "/api/admin")
ALL_SCOPES = ["*", "account", "keys", "admin"]
NOT_OWNED = {"provider", "place"}
"""Parts of paths that name nothing of an account, or that only their signature opens."""
NOT_YOURS = ("id", "number", "role", "owner", "account_id", "user_id", "plan", "limits", "daily_limit", "daily_bytes")
STATUSES = ("status", "is_admin", "is_primary", "email_verified", "email_verified_at", "charged", "created_at")


class Victim:
    """An account with one of everything that a path may name."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.ids: dict[str, str] = {}
        self.secrets: set[str] = set()

    async def settle(self, database: Any) -> None:
        http, headers = self.person.http, self.person.headers
        form = {"client_reference": "victims-reference", "tags": "victims-tag", "store": "true"}
        files = {"file": ("victims-name.jpg", JPEG)}
        detection = (await http.post("/v1/detections", headers=headers, files=files, data=form)).json()
        key = (await self.person.send("POST", "/v1/keys", {"name": "victims-key"})).json()
        (session,) = (await self.person.get("/v1/account/sessions")).json()["data"]
        options = (await self.person.send("POST", "/v1/account/passkeys/register")).json()
        body = {"credential": Authenticator().create(options), "name": "victims-passkey"}
        passkey = (await self.person.send("POST", "/v1/account/passkeys/register/verify", body)).json()
        job = (await http.post("/v1/jobs", headers=headers, files=files, data=form)).json()
        task = await (await database.execute("SELECT id FROM procrastinate_jobs LIMIT 1")).fetchone()
        upload = {"filename": "victims-name.jpg", "size_bytes": 3000}
        item = {"upload_id": detection["medium_id"], "client_reference": "victims-reference", "tags": ["victims-tag"]}
        batch = (await self.person.send("POST", "/v1/batches", {"name": "victims-name", "items": [item]})).json()
        hook = {"url": "https://8.8.8.8/victims-hook", "description": "victims-hook"}
        endpoint = (await self.person.send("POST", "/v1/webhooks/endpoints", hook)).json()
        told = (await self.person.send("POST", f"/v1/webhooks/endpoints/{endpoint['id']}/test")).json()
        self.ids = {
            "endpoint_id": endpoint["id"],
            "delivery_id": told["id"],
            "batch_id": batch["id"],
            "detection_id": detection["id"],
            "upload_id": (await self.person.send("POST", "/v1/uploads", upload)).json()["id"],
            "medium_id": detection["medium_id"],
            "key_id": key["id"],
            "session_id": session["id"],
            "passkey_id": passkey["id"],
            "user_id": str(self.person.id),
            "job_id": job["id"],
            "task_id": str(task[0]),
            "name": "unlimited",
        }
        self.secrets = {
            *(value for name, value in self.ids.items() if name not in {"task_id", "name"}),
            "victim@example.org",
            *(f"victims-{one}" for one in ("reference", "tag", "name", "key", "passkey", "hook")),
        }

    def address(self, path: str) -> str:
        """A path with the victim's ids; a name that is not known here has to be added, or to what nobody owns."""
        return re.sub(r"\{(\w+)\}", lambda match: self.ids[match[1]], path)

    def leaks(self, answer: httpx.Response, asked: str) -> set[str]:
        """What of the victim an answer holds that was not asked with."""
        return {secret for secret in self.secrets if secret in answer.text and secret not in asked}

    async def state(self, database: Any) -> list[tuple[Any, ...]]:
        """All that could be changed of it."""
        query = """
            SELECT to_jsonb(d)::text FROM detections d WHERE account_id = %(id)s
            UNION ALL SELECT to_jsonb(k)::text FROM api_keys k WHERE account_id = %(id)s
            UNION ALL SELECT to_jsonb(s)::text FROM sessions s WHERE account_id = %(id)s
            UNION ALL SELECT to_jsonb(p)::text FROM passkeys p WHERE account_id = %(id)s
            UNION ALL SELECT to_jsonb(j)::text FROM jobs j WHERE account_id = %(id)s
            UNION ALL SELECT to_jsonb(b)::text FROM batches b WHERE account_id = %(id)s
            UNION ALL SELECT to_jsonb(w)::text FROM webhook_endpoints w WHERE account_id = %(id)s
            UNION ALL SELECT to_jsonb(d)::text FROM webhook_deliveries d
                JOIN webhook_messages m ON m.id = d.message_id WHERE account_id = %(id)s
            UNION ALL SELECT to_jsonb(m)::text FROM media m WHERE account_id = %(id)s
            UNION ALL SELECT to_jsonb(a)::text FROM accounts a WHERE id = %(id)s
            ORDER BY 1
        """
        return await (await database.execute(query, {"id": self.person.id})).fetchall()


@pytest.fixture
async def victim(person: MakePerson, database: Any) -> Victim:
    one = Victim(await person("victim@example.org"))
    await one.settle(database)
    await database.execute("UPDATE api_keys SET last_used_at = now()")
    return one


@pytest.fixture(params=["session", "key with every scope"])
async def attacker(person: MakePerson, request: pytest.FixtureRequest) -> Person:
    return await person("attacker@example.org", scopes=None if request.param == "session" else ALL_SCOPES)


def parts(path: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", path))


def json_example(operation: dict[str, Any]) -> Any:
    return operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")


async def send(person: Person, method: str, address: str, operation: dict[str, Any]) -> httpx.Response:
    """A call that is right in everything: with the example as its body."""
    return await person.http.request(method.upper(), address, headers=person.headers, json=json_example(operation))


async def test_what_belongs_to_another_is_not_there_whatever_is_asked_of_it(
    document: dict[str, Any], victim: Victim, attacker: Person, database: Any
) -> None:
    before = await victim.state(database)
    swept = 0
    for method, path, operation in operations(document):
        if not parts(path) - NOT_OWNED:
            continue
        address = victim.address(path)
        answer = await send(attacker, method, address, operation)
        expected = 403 if path.startswith(ADMIN) else 404
        assert answer.status_code == expected, (method, path, answer.text)
        assert victim.leaks(answer, address) == set(), (method, path, answer.text)
        swept += 1
    assert swept >= 20
    assert await victim.state(database) == before


async def test_methods_that_a_path_does_not_have_do_nothing_either(
    document: dict[str, Any], victim: Victim, attacker: Person, database: Any
) -> None:
    before = await victim.state(database)
    for path, described in document["paths"].items():
        if not parts(path) - NOT_OWNED:
            continue
        address = victim.address(path)
        for method in (one for one in (*METHODS, "head", "trace", "purge") if one not in described):
            answer = await attacker.http.request(method.upper(), address, headers=attacker.headers)
            assert answer.status_code in {403, 404, 405}, (method, path, answer.status_code)
            assert victim.leaks(answer, address) == set(), (method, path)
    assert await victim.state(database) == before


async def test_no_list_holds_what_belongs_to_another(
    document: dict[str, Any], victim: Victim, attacker: Person
) -> None:
    """Whatever a list may be filtered by: another's id, file, tag, reference, e-mail."""
    swept = 0
    for method, path, operation in operations(document):
        if method != "get" or parts(path) or path.startswith(ADMIN):
            continue
        names = [one["name"] for one in operation.get("parameters", []) if one.get("in") == "query"]
        for name in [None, *names]:
            for value in [""] if name is None else sorted(victim.secrets):
                query = {} if name is None else {name: value}
                answer = await attacker.http.get(path, headers=attacker.headers, params=query)
                assert answer.status_code < 500, (path, query, answer.text)
                assert victim.leaks(answer, value) == set(), (path, query, answer.text)
                swept += 1
    assert swept > 50


def overposts(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Every operation with a JSON body, and every field that it does not have."""
    schemas = document["components"]["schemas"]
    for method, path, operation in operations(document):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is None:
            continue
        names = re.findall(r"#/components/schemas/(\w+)", str(body["schema"]))
        schema = schemas[names[0]] if names else body["schema"]
        assert schema["additionalProperties"] is False
        known = schema["properties"]
        for field in (*NOT_YOURS, *STATUSES):
            if field not in known:
                yield method, path, operation, field


async def test_a_field_that_is_nobodys_to_set_is_refused(
    document: dict[str, Any], person: MakePerson, victim: Victim, database: Any
) -> None:
    # A session, which reaches every route: some take no key.
    admin = await person("admin@example.org", role="super_admin")
    before = await (await database.execute("SELECT id, role, plan, status, daily_limit FROM accounts")).fetchall()
    swept = 0
    for method, path, operation, field in overposts(document):
        body = json_example(operation) | {field: "super_admin"}
        address = re.sub(r"\{(\w+)\}", lambda match: victim.ids.get(match[1], "x"), path)
        headers = admin.headers if operation.get("security") else {}
        answer = await admin.http.request(method.upper(), address, headers=headers, json=body)
        assert answer.status_code in {400, 422}, (method, path, field, answer.text)
        assert f"`{field}`" in answer.text, (method, path, field, answer.text)
        swept += 1
    assert swept > 200
    assert (
        await (await database.execute("SELECT id, role, plan, status, daily_limit FROM accounts")).fetchall() == before
    )


async def test_whoever_registers_is_a_user_like_any_other(person: MakePerson, database: Any) -> None:
    http = (await person("first@example.org")).http
    for path, name in (("/v1/auth/register", "a"), ("/api/auth/register", "b"), ("/signup", "c")):
        body = {"email": f"{name}@example.org", "password": PASSWORD}
        answer = await http.post(path, json=body | {"role": "super_admin"})
        assert answer.status_code == 400
        assert (await http.post(path, json=body)).status_code in {200, 201}
    rows = await (await database.execute("SELECT DISTINCT role, plan FROM accounts")).fetchall()
    assert rows == [("user", "standard")]
